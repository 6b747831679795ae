"""LAMB one number at a time, in double precision."""

from __future__ import annotations

import math


class SlowLamb:
    """Updates one matrix, a list of rows, as You et al. 2020 write it (Alg. 2)."""

    def __init__(
        self, lr: float, betas: tuple[float, float], eps: float, decay: float, *, adapt: bool
    ) -> None:
        self.lr, self.betas, self.eps, self.decay, self.adapt = lr, betas, eps, decay, adapt
        self.steps = 0
        self.m: list[list[float]] = []
        self.v: list[list[float]] = []

    def step(self, weight: list[list[float]], gradient: list[list[float]]) -> list[list[float]]:
        """The weight after one update."""
        if self.steps == 0:
            self.m = [[0.0 for _ in row] for row in weight]
            self.v = [[0.0 for _ in row] for row in weight]
        self.steps += 1
        beta1, beta2 = self.betas
        update = []
        for i, row in enumerate(weight):
            update.append([])
            for j, w in enumerate(row):
                g = gradient[i][j]
                self.m[i][j] = beta1 * self.m[i][j] + (1 - beta1) * g
                self.v[i][j] = beta2 * self.v[i][j] + (1 - beta2) * g * g
                m_hat = self.m[i][j] / (1 - beta1**self.steps)
                v_hat = self.v[i][j] / (1 - beta2**self.steps)
                update[i].append(m_hat / (math.sqrt(v_hat) + self.eps) + self.decay * w)
        ratio = self._ratio(weight, update) if self.adapt else 1.0
        return [
            [w - self.lr * ratio * u for w, u in zip(weight_row, update_row, strict=True)]
            for weight_row, update_row in zip(weight, update, strict=True)
        ]

    def _ratio(self, weight: list[list[float]], update: list[list[float]]) -> float:
        weight_norm = math.sqrt(sum(w * w for row in weight for w in row))
        update_norm = math.sqrt(sum(u * u for row in update for u in row))
        if weight_norm == 0 or update_norm == 0:
            return 1.0
        return weight_norm / update_norm
