"""The trace of the root of a product of covariances and its gradient, by eigenvectors or by matrix products alone.

For covariances C and roots R of others, both symmetric positive definite, tr (R C R)^1/2 is what two Gaussians have in
common, and R (R C R)^-1/2 R, twice its gradient in C, is the map that transports the one to the other (Dowson and
Landau 1982). The caller sees to it that the eigenvalues of every C and R^2 are at least `CONDITION` times their sum.

On the CPU one eigendecomposition costs as much as 6 to 24 matrix products, depending on the size, and is the fastest.
Accelerators get 73 products: a fixed number, whatever the values, each of a whole batch, and none waits for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CONDITION = 2e-7
"""The smallest eigenvalue of a covariance that is resolved, relative to its trace."""

QUINTICS = (
    (4.214996252, -3.067272528, 0.5580173),
    (4.214984581, -3.067266087, 0.5580169887),
    (4.214931391, -3.067230214, 0.5580130305),
    (4.214707212, -3.06707902, 0.5579963481),
    (4.213762624, -3.066441934, 0.5579260537),
    (4.20978696, -3.063760109, 0.5576301514),
    (4.193131554, -3.052517932, 0.5563897927),
    (4.124699626, -3.006204848, 0.5512811288),
    (3.864850021, -2.828420019, 0.5316910118),
    (3.124645685, -2.300453992, 0.473894669),
    (2.164612719, -1.524792242, 0.392229115),
    (1.872503087, -1.238268369, 0.365860891),
    (1.875, -1.25, 0.375),
)
"""Coefficients (a, b, c) of a x + b x^3 + c x^5, which one after the other take [4.5e-7, 2] to 1 within 2e-10.

Each is the best on the interval that the ones before it lead to (Amsel et al. 2025, "The Polar Express", theorem 3.3),
which we widen by 1 percent: rounding beyond its end would grow thirteenfold with every step. Those of Newton and Schulz
multiply small values by 1.5 a step and need twice as many products. The last eight alone take [6.3e-4, 2] to 1.
"""
ROOT_STEPS = 8
"""The root of a covariance needs fewer: its eigenvalues span the square root of what those of the product span."""

SMALLEST_SIZE = 128
"""Matrices for products are filled up to at least this, so that all small ones make one batch."""
FAST_FLOAT64 = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))
"""Compute capabilities of CUDA devices that multiply float64 at half the speed of float32."""


@dataclass(frozen=True, slots=True)
class RootMethod:
    """How to find traces and transports.

    `overlap` maps covariances and roots (N, n, n) to the traces of (R C R)^1/2, (N,) in the precision of the
    covariances, and the transports (N, n, n) in that of the roots, which is `dtype`. A covariance that is not finite
    has the trace NaN and does not change the others. `pads` says whether matrices are filled up with zeros to the sizes
    of `padded_size`, to be taken together: rows of zeros in the root change nothing.
    """

    overlap: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    dtype: torch.dtype
    pads: bool

    def padded_size(self, channels: int) -> int:
        """The size of the matrices that those of `channels` rows are filled up to."""
        return max(SMALLEST_SIZE, 1 << (channels - 1).bit_length()) if self.pads else channels


def root_method(device: torch.device) -> RootMethod:
    """By eigenvectors on the CPU, by products on accelerators, in float64 where they are made for it."""
    if device.type == "cpu":
        return RootMethod(overlap_by_eigenvectors, torch.float64, pads=False)
    return RootMethod(overlap_by_products, torch.float64 if _wants_float64(device) else torch.float32, pads=True)


def _wants_float64(device: torch.device) -> bool:
    """Whether products are in float64: where that is fast, and where float32 would be rounded to TF32.

    TF32 keeps ten bits, too few for these products. PyTorch does not use it for them unless it is told to.
    """
    if device.type != "cuda":
        return False
    products = torch.backends.cuda.matmul
    rounded = products.fp32_precision == "tf32" if hasattr(products, "fp32_precision") else products.allow_tf32
    return torch.cuda.get_device_capability(device) in FAST_FLOAT64 or rounded


def overlap_by_eigenvectors(covariances: Tensor, roots: Tensor) -> tuple[Tensor, Tensor]:
    """`RootMethod.overlap` by eigendecomposition of R C R; for the CPU, because it looks at values on the way."""
    products = roots @ covariances @ roots
    finite = products.sum(dim=(1, 2)).isfinite()
    if not finite.all():  # The decomposition fails for the whole batch if one value is NaN.
        products = torch.where(finite[:, None, None], products, -torch.eye(roots.shape[1]).to(roots))
    values, vectors = torch.linalg.eigh(products)
    singular = values.clamp_min(0).sqrt()
    singular = singular.clamp_min(CONDITION * singular[:, -1:])
    turned = roots @ vectors
    found = singular.sum(dim=1), turned / singular[:, None, :] @ turned.mT
    definite = values[:, 0] > 0
    return found if definite.all() else _sound(definite, *found, covariances, roots)


def overlap_by_products(covariances: Tensor, roots: Tensor) -> tuple[Tensor, Tensor]:
    """`RootMethod.overlap` by matrix products, also good in float32.

    With C = F F, the trace is the nuclear norm of F R = Q H, and the transport F^-1 Q R, where Q is orthogonal and H
    symmetric. Unlike those of R C R, the singular values of F R span no more than the eigenvalues of the covariances
    do, and float32 resolves them.
    """
    factors, inverses = _roots_and_inverses(covariances.to(roots.dtype))
    products = factors @ roots
    orthogonal = _orthogonal_factors(products)
    transports = inverses @ (orthogonal @ roots)
    transports = 0.5 * (transports + transports.mT)
    # The trace at C is that at F F and, to first order, half the transport of the difference. It matters in float32.
    defects = covariances - factors @ factors
    traces = (orthogonal * products + 0.5 * transports * defects).sum(dim=(1, 2), dtype=covariances.dtype)
    # The inequality of Cauchy and Schwarz. Where a covariance is indefinite, the iteration overflows and breaks it.
    bounds = covariances.diagonal(dim1=1, dim2=2).sum(dim=1).sqrt() * torch.linalg.matrix_norm(roots)
    return _sound(traces <= 1.001 * bounds, traces, transports, covariances, roots)


def _sound(
    sound: Tensor, traces: Tensor, transports: Tensor, covariances: Tensor, roots: Tensor
) -> tuple[Tensor, Tensor]:
    """Traces and transports, where they are not sound those of a multiple of the identity with the covariance's norm.

    The variance of an image without contrast can be negative, because its moments are rounded.
    """
    norms = torch.linalg.matrix_norm(covariances)
    deviations = (torch.where(norms.isfinite(), norms, torch.nan) * covariances.shape[1] ** -0.5).sqrt()
    isotropic = roots / deviations[:, None, None].to(roots.dtype)
    return (
        torch.where(sound, traces, deviations * roots.diagonal(dim1=1, dim2=2).sum(dim=1)),
        torch.where(sound[:, None, None], transports, isotropic),
    )


def _roots_and_inverses(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Square roots and their inverses of symmetric positive definite matrices, by the coupled iteration.

    With S the matrix, Y -> Y p(Z Y) and Z -> p(Z Y) Z from Y = S and Z = 1 (Higham 2008, "Functions of Matrices",
    eq. 6.35, there for Newton and Schulz), where x p(x^2) are the quintics.
    """
    norms = torch.linalg.matrix_norm(matrices)[:, None, None]
    roots = matrices * (4 / norms)
    inverses = factor = _even_part(roots, QUINTICS[-ROOT_STEPS])
    roots = roots @ factor
    for quintic in QUINTICS[1 - ROOT_STEPS :]:
        factor = _even_part(inverses @ roots, quintic)
        roots, inverses = roots @ factor, factor @ inverses
    scales = norms.sqrt() / 2
    return roots * scales, inverses / scales


def _orthogonal_factors(matrices: Tensor) -> Tensor:
    """The orthogonal factors of the polar decompositions of matrices."""
    factors: Tensor = matrices * (2 / torch.linalg.matrix_norm(matrices)[:, None, None])
    for quintic in QUINTICS:
        factors = factors @ _even_part(factors.mT @ factors, quintic)
    return factors


def _even_part(squares: Tensor, quintic: tuple[float, float, float]) -> Tensor:
    """a + b S + c S^2 for squares S."""
    first, third, fifth = quintic
    found = torch.baddbmm(squares, squares, squares, beta=third, alpha=fifth)
    found.diagonal(dim1=1, dim2=2).add_(first)
    return found
