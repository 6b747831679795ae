"""The order in which endless data sets show a finite number of examples."""

from __future__ import annotations

import numpy as np

from scalable_binding.errors import UserError


class Shuffle:
    """The numbers 0 to ``count`` - 1 over and over, each pass in an order drawn anew.

    ``order[index]`` is a function of the seed and of an index of at least 0.

    Raises:
        UserError: there is nothing to order, or the seed is negative.
    """

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise UserError("examples to train on", expected="at least one", got=str(count))
        if seed < 0:
            raise UserError("seed of the order", expected="at least 0", got=str(seed))
        self.count, self.seed = count, seed
        self._latest: tuple[int, np.ndarray] | None = None

    def __getitem__(self, index: int) -> int:
        return int(self.of_pass(index // self.count)[index % self.count])

    def of_pass(self, number: int) -> np.ndarray:
        """The numbers in the order of pass ``number``.

        Raises:
            IndexError: the pass, and with it the index, is negative.
        """
        if number < 0:
            raise IndexError("examples are numbered from 0")
        if self._latest is None or self._latest[0] != number:
            order = np.random.default_rng((self.seed, number)).permutation(self.count)
            self._latest = number, order
        return self._latest[1]
