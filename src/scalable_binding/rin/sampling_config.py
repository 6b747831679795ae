"""Sampling configuration. Torch is not imported, so that the command line can read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from scalable_binding.errors import UserError, require_one_of

Sampler = Literal["ddpm", "ddim", "dpmpp_2m"]
Variance = Literal["large", "small"]
GuidanceLatents = Literal["own", "shared"]
Curve = Literal["cosine", "sigmoid", "linear", "trained"]


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Sampling settings; defaults as in the thesis, but for the number of steps.

    Args:
        steps: evaluations of the network for a sample.
        sampler: "ddpm" (ancestral), "ddim" (deterministic, first order) or "dpmpp_2m"
            (DPM-Solver++ 2M, second order).
        variance: of the noise that "ddpm" adds.
        schedule: of the noise while sampling; "trained" is that of training.
        temperature, start, end: of the schedule "sigmoid"; None for the usual ones.
        guidance: 1 is the conditional model, above 1 exaggerates the class.
        guidance_interval: share of the way in which guidance acts, as times: 1 is all noise, 0
            none.
        guidance_latents: "own" carries latents for each half of guidance, with the class and
            without; "shared" gives both those of the conditional half, as the authors do.
        seed: of the noise. A sample is a function of the seed and of its own number.
        batch_size: samples at once; halved by itself, where finished samples are drawn, when they
            do not fit into the device.
        bfloat16: run the network in that precision.
        cuda_graph: on a GPU, capture an evaluation of the network once and replay it in every step.
    """

    steps: int = 250
    sampler: Sampler = "ddpm"
    variance: Variance = "large"
    schedule: Curve = "cosine"
    temperature: float | None = None
    start: float | None = None
    end: float | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_latents: GuidanceLatents = "own"
    seed: int = 0
    batch_size: int = 64
    bfloat16: bool = False
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(name, expected="a whole number of at least 1", got=str(value))
        require_one_of("sampler", self.sampler, get_args(Sampler))
        require_one_of("variance", self.variance, get_args(Variance))
        for name in ("temperature", "start", "end"):
            if getattr(self, name) is not None and self.schedule != "sigmoid":
                got = f"the {self.schedule} schedule"
                raise UserError(f"{name} is of the sigmoid schedule", got=got, fix="leave it out")
        require_one_of("guidance_latents", self.guidance_latents, get_args(GuidanceLatents))
        require_one_of("schedule", self.schedule, get_args(Curve))
        if not 0 <= self.guidance < math.inf:
            got = str(self.guidance)
            raise UserError("guidance", expected="a number of at least 0", got=got)
        low, high = self.guidance_interval
        if not 0 <= low < high <= 1:
            expected = "two times with 0 <= first < second <= 1"
            raise UserError("guidance_interval", expected=expected, got=f"{low}, {high}")
        if self.seed < 0:
            raise UserError("seed", expected="at least 0", got=str(self.seed))
