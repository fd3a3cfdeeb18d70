"""The dot products of L-BFGS on the host, and the directions that follow from them, for all samples of a batch at once.

Arrays: float64. Row 0 of the matrices is the gradient, row 1 + 2 k the step of the pair in slot k, row 2 + 2 k its
gradient change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

NEGLIGIBLE_CURVATURE = 1e-10
"""A pair is kept if step times change exceeds this fraction of the squared change: the Hessian stays positive."""


class Curvature:
    """Dot products of the gradient and up to `size` curvature pairs of each of B samples.

    L-BFGS needs full vectors for these products and for one linear combination only ("vector-free L-BFGS", Chen, Wang
    and Zhou 2014). Every sample has its own number of pairs, whose slots are filled in turn.
    """

    def __init__(self, batch: int, size: int) -> None:
        self.size = size
        self.products = np.zeros((batch, 1 + 2 * size, 1 + 2 * size))
        self._added = np.zeros(batch, np.int64)

    @property
    def energy(self) -> Floats:
        """Squared lengths (B,) of the gradients."""
        return self.products[:, 0, 0]

    def filled(self, samples: Integers) -> int:
        """The number of slots, from the first, in which some of these samples have pairs."""
        return int(np.minimum(self._added[samples], self.size).max())

    def forget(self, samples: Booleans) -> None:
        """Drop the pairs of the samples marked (B,)."""
        self._added[samples] = 0

    def add(self, found: Floats, accepted: Booleans) -> tuple[Booleans, Integers]:
        """Take over new gradients, and their pairs where the curvature is positive, of the samples marked (B,).

        `found` (B, 3, 3 + 2 F) are the products of new gradient, step and change with each other and with the pairs in
        the first F slots. Returns the samples whose pair is kept (B,), and the slots that it goes to (B,).
        """
        rows = np.zeros((len(found), 3, 1 + 2 * self.size))
        rows[:, :, 0] = found[:, :, 0]
        rows[:, :, 1 : found.shape[2] - 2] = found[:, :, 3:]
        self.products[accepted, 0] = self.products[accepted, :, 0] = rows[accepted, 0]
        curvature, strength = found[:, 1, 2], found[:, 2, 2]
        kept = accepted & (curvature > NEGLIGIBLE_CURVATURE * strength) & (strength > 0)
        slots = self._added % self.size
        samples = np.flatnonzero(kept)
        step, change = 1 + 2 * slots[samples], 2 + 2 * slots[samples]
        for new, place in ((1, step), (2, change)):
            row = rows[samples, new]
            row[np.arange(len(samples)), step] = found[samples, new, 1]
            row[np.arange(len(samples)), change] = found[samples, new, 2]
            self.products[samples, place] = self.products[samples, :, place] = row
        self._added[samples] += 1
        return kept, slots

    def directions(self) -> tuple[Floats, Floats, Floats]:
        """The quasi-Newton direction of every sample, as weights (B, 1 + 2 size) of its gradient and pairs.

        With its squared length (B,) and its product with the gradient (B,). All are 0 for a sample without pairs.
        """
        count = np.minimum(self._added, self.size)
        place = np.arange(self.size)
        used = place < count[:, None]
        slots = (np.maximum(self._added - self.size, 0)[:, None] + place) % self.size  # from the oldest pair on
        samples, steps, changes = np.arange(len(slots))[:, None], 1 + 2 * slots, 2 + 2 * slots
        both = used[:, :, None] & used[:, None]
        across, own = (  # of steps with changes, and of changes with changes
            np.where(both, self.products[samples[:, :, None], rows[:, :, None], changes[:, None]], 0)
            for rows in (steps, changes)
        )
        along_steps, along_changes = (np.where(used, self.products[samples, 0, rows], 0) for rows in (steps, changes))
        newest = np.arange(len(slots)), count - 1, count - 1
        scale = np.divide(across[newest], own[newest], out=np.zeros(len(slots)), where=count > 0)[:, None]

        # Byrd, Nocedal and Schnabel 1994, theorem 2.2: the two-loop recursion as two triangular systems. Places without
        # a pair have a 1 on the diagonal and nothing else.
        upper = np.triu(across) + np.eye(self.size) * ~used[:, None]
        inner = _solve(upper, along_steps)
        outer = np.einsum("bii->bi", across) * inner + scale * (np.einsum("bij,bj->bi", own, inner) - along_changes)
        weights = np.zeros(self.products.shape[:2])
        weights[:, :1] = -scale
        weights[samples, steps] = -_solve(upper.mT, outer)
        weights[samples, changes] = scale * inner
        squared = np.einsum("bi,bij,bj->b", weights, self.products, weights)
        return weights, squared, np.einsum("bi,bi->b", weights, self.products[:, 0])


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """The solutions (B, n) of linear systems (B, n, n) and (B, n)."""
    return np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0], np.float64)
