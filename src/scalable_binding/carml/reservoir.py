"""A memory of trajectories: as likely to hold an early one as a late one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Generator, Tensor


class Reservoir:
    """Uniformly drawn trajectories out of all that were ever offered.

    After m offers each of them is inside with probability capacity / m.

    Args:
        capacity: trajectories that are kept.
        length: states in each.
        observation: shape of a state.
        dtype: of a state.

    Source: Thesis Alg. 8, line 11, and 4.6 ("reservoir sampling"); Vitter's algorithm R, 1985.
    """

    def __init__(
        self, capacity: int, length: int, observation: Sequence[int], dtype: torch.dtype
    ) -> None:
        self._kept = torch.zeros(capacity, length, *observation, dtype=dtype)
        self.offered = 0

    def __len__(self) -> int:
        return min(self.offered, len(self._kept))

    @property
    def trajectories(self) -> Shaped[Tensor, "n t *obs"]:
        """What is inside."""
        return self._kept[: len(self)]

    def add(self, trajectories: Shaped[Tensor, "n t *obs"], generator: Generator) -> None:
        """Offer trajectories, one after the other."""
        shares = torch.rand(len(trajectories), generator=generator, dtype=torch.float64)
        for trajectory, share in zip(trajectories, shares.tolist(), strict=True):
            place = self.offered
            self.offered += 1
            if place >= len(self._kept):
                place = int(share * self.offered)
            if place < len(self._kept):
                self._kept[place] = trajectory

    def forget(self) -> None:
        """Count what is inside as all that was ever offered, so that what comes has more room."""
        self.offered = len(self)

    def state_dict(self) -> dict[str, Tensor]:
        """All places, filled or not, and the number of offers."""
        return {"kept": self._kept, "offered": torch.tensor(self.offered)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state_dict`` gave."""
        self._kept.copy_(state["kept"])
        self.offered = int(state["offered"])
