"""The curvature pairs of L-BFGS, one history per sample, and the direction that they give."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class CurvatureHistory:
    """Curvature pairs of B samples, and the L-BFGS direction from their dot products.

    The two-loop recursion runs on the small matrix of dot products between all pairs and the gradient instead of on
    full images ("vector-free L-BFGS", Chen, Wang and Zhou 2014): two passes over the history, whatever its length,
    and every sample may hold a different number of pairs.
    """

    def __init__(self, batch: int, size: int, length: int, like: Tensor) -> None:
        """At most `size` pairs for each of `batch` samples of `length` values, of the dtype and device of `like`."""
        self.size = size
        # Row 2 k holds step k and row 2 k + 1 its gradient difference; only rows that are filled are ever read.
        self.pairs = like.new_empty(batch, 2 * size, length)
        self.latest = like.new_empty(3, length)
        self.dots = np.zeros((batch, 2 * size, 2 * size))
        self.gradient_products = np.zeros((batch, 2 * size))
        self.energy = np.zeros(batch)
        self.order: list[list[int]] = [[] for _ in range(batch)]

    def forget(self, sample: int) -> None:
        """Drop the pairs of one sample."""
        self.order[sample].clear()

    def add(self, sample: int, points: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]) -> None:
        """Keep the pair (step, gradient change) of one sample if its curvature is positive.

        Points and gradients are (N,), the old and the new one. The products of the new gradient with all pairs are
        taken in the same passes.
        """
        vectors = self.latest
        vectors[0] = gradients[1]
        torch.sub(points[1], points[0], out=vectors[1])
        torch.sub(gradients[1], gradients[0], out=vectors[2])
        own = _float64(vectors @ vectors.mT)
        self.energy[sample] = own[0, 0]
        order, dots, gradient_products = self.order[sample], self.dots[sample], self.gradient_products[sample]
        filled = 2 * len(order)
        products = _float64(torch.einsum("kn,rn->kr", vectors, self.pairs[sample, :filled]))
        gradient_products[:filled] = products[0]
        curvature, strength = own[1, 2], own[2, 2]
        if not curvature > 1e-10 * strength or strength == 0.0:
            return
        slot = order.pop(0) if len(order) == self.size else len(order)
        order.append(slot)
        rows = slice(2 * slot, 2 * slot + 2)
        self.pairs[sample, rows] = vectors[1:]
        dots[rows, :filled] = products[1:]
        dots[:filled, rows] = products[1:].T
        dots[rows, rows] = own[1:, 1:]
        gradient_products[rows] = own[0, 1:]

    def direction(self, sample: int, gradient: Tensor) -> tuple[Tensor, float, float] | None:
        """The quasi-Newton direction for the gradient (N,) of the last `add`, or None without pairs.

        Returned with its squared length and its product with the gradient, which follow from the small matrix.
        """
        order = self.order[sample]
        if not order:
            return None
        dots, gradient_products = self.dots[sample], self.gradient_products[sample]

        # Nocedal and Wright, Numerical Optimization, algorithm 7.4, on coefficients of the pairs and the gradient.
        weights, alphas = np.zeros(2 * self.size), np.zeros(self.size)
        for slot in reversed(order):
            step, change = 2 * slot, 2 * slot + 1
            alphas[slot] = (gradient_products[step] + dots[step] @ weights) / dots[step, change]
            weights[change] -= alphas[slot]
        newest = 2 * order[-1]
        gamma = float(dots[newest, newest + 1] / dots[newest + 1, newest + 1])
        weights *= gamma
        for slot in order:
            step, change = 2 * slot, 2 * slot + 1
            beta = (gamma * gradient_products[change] + dots[change] @ weights) / dots[step, change]
            weights[step] += alphas[slot] - beta
        filled = 2 * len(order)
        found = torch.from_numpy(-weights[:filled]).to(gradient) @ self.pairs[sample, :filled]
        found.sub_(gradient, alpha=gamma)
        energy, across = self.energy[sample], float(weights @ gradient_products)
        squared = float(weights @ dots @ weights) + 2 * gamma * across + gamma**2 * energy
        return found, squared, -(across + gamma * energy)


def _float64(small: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = small.double().cpu().numpy()
    return found
