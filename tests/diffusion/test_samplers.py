"""Samplers equal the thesis' loops, closed forms on normal data, and diffusers' schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion import gaussian
from reference import diffusion as reference
from scalable_binding.diffusion import noises, samplers
from scalable_binding.diffusion.samplers import State, Variance, last
from scalable_binding.diffusion.schedules import Cosine, Linear, Schedule, Sigmoid
from scalable_binding.diffusion.targets import Target
from scalable_binding.errors import UserError

SCHEDULES = [Cosine(), Sigmoid(), Linear()]
FORMULAS = {Cosine: reference.cosine, Sigmoid: reference.sigmoid, Linear: reference.linear}


def noise(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def run(rule: str, *given: Any, **named: Any) -> list[State]:
    """The states of the sampler of that name; DDPM's noise has seed 1."""
    if rule == "ddpm":
        return list(samplers.ddpm(*given, torch.Generator().manual_seed(1), **named))
    return list({"ddim": samplers.ddim, "dpmpp_2m": samplers.dpmpp_2m}[rule](*given, **named))


def bent(x_t: float, gamma: float) -> float:
    """A made-up prediction of eps, so far off that x0 must be clipped."""
    return math.tanh(x_t) + 0.3 * math.sin(5 * gamma)


def denoise_bent(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
    return torch.tanh(x_t) + 0.3 * torch.sin(5 * gamma)[:, None], carry


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("bound", [0.5, None])
@pytest.mark.parametrize(("rule", "variance"), [("ddim", ""), ("ddpm", "large"), ("ddpm", "small")])
def test_every_step_is_that_of_algorithm_5(
    rule: str, variance: Variance, bound: float | None, schedule: Schedule
) -> None:
    start, steps = noise(3, 2), 7
    named = {"variance": variance} if variance else {}
    states = run(rule, denoise_bent, start, schedule, steps, bound=bound, **named)
    generator = torch.Generator().manual_seed(1)
    draws = torch.stack(
        [torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(steps - 1)]
    )
    for place in [(0, 0), (2, 1)]:
        expected = reference.sample(
            rule,
            bent,
            float(start[place]),
            FORMULAS[type(schedule)],
            steps,
            draws[:, *place].tolist(),
            bound=bound or math.inf,
            small=variance == "small",
        )
        found = [(float(state.x[place]), float(state.x0[place])) for state in states]
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("rule", "order"), [("ddim", 1), ("dpmpp_2m", 2)])
def test_errors_fall_with_the_order_of_the_sampler(
    rule: str, order: int, schedule: Schedule
) -> None:
    start, mean, deviation = noise(16, 1), 0.3, 0.5
    exact = gaussian.flow(start, mean, deviation, schedule, 0.9, 0.1)
    errors = []
    for count in (64, 128):
        times = torch.linspace(0.9, 0.1, count + 1, dtype=torch.float64).tolist()
        denoise = gaussian.denoiser(mean, deviation)
        states = run(rule, denoise, start, schedule, times, target="x", bound=None)
        errors.append(float((states[-1].x - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)
    assert errors[1] < (0.01 if order == 1 else 2e-4)


@pytest.mark.parametrize("steps", [1, 3, 20])
@pytest.mark.parametrize(("variance", "deviation"), [("small", 0.0), ("large", 1.0)])
def test_ddpm_has_the_marginals_of_the_closed_form(
    variance: Variance, deviation: float, steps: int
) -> None:
    """Exact for any number of steps: the small variance on one point, the large on N(0, 1)."""
    mean = 0.7 if deviation == 0 else 0.0
    start, schedule = noise(50_000, 1), Cosine()
    denoise = gaussian.denoiser(mean, deviation)
    for state in run(
        "ddpm", denoise, start, schedule, steps, target="x", bound=None, variance=variance
    ):
        if state.step == steps - 1:
            break
        gamma = float(schedule(torch.tensor(state.time, dtype=torch.float64)))
        deviation_t = math.sqrt(gamma * deviation**2 + 1 - gamma)
        assert float(state.x.mean()) == pytest.approx(math.sqrt(gamma) * mean, abs=0.02)
        assert float(state.x.std()) == pytest.approx(deviation_t, rel=0.015, abs=1e-3)
    if deviation == 0:
        torch.testing.assert_close(state.x0, torch.full_like(state.x0, mean))


def test_ddpm_finds_normal_data_in_many_steps() -> None:
    denoise = gaussian.denoiser(0.3, 0.5, "eps")
    found = run("ddpm", denoise, noise(20_000, 1), Cosine(), 300, bound=None)[-1].x0
    assert float(found.mean()) == pytest.approx(0.3, abs=0.02)
    assert float(found.std()) == pytest.approx(0.5, abs=0.02)


def test_inverted_samples_come_back() -> None:
    """DDIM backward in time gives a sample's noise, from which DDIM gives the sample."""
    denoise = gaussian.denoiser(0.3, 0.5, "eps")
    signal, times = 0.3 + 0.5 * noise(16, 2), [step / 400 for step in range(401)]
    inverted = list(samplers.ddim(denoise, signal, Cosine(), times, bound=None))[-1]
    assert inverted.time == 1
    assert float(inverted.x.std()) == pytest.approx(float(signal.std()) / 0.5, rel=0.05)
    back = list(samplers.ddim(denoise, inverted.x, Cosine(), times[::-1], bound=None))[-1]
    torch.testing.assert_close(back.x, signal, rtol=0, atol=0.02)


@pytest.mark.parametrize("rule", ["ddpm", "ddim", "dpmpp_2m"])
def test_every_target_gives_the_same_sample(rule: str) -> None:
    start = noise(4, 3)
    found = []
    targets: tuple[Target, ...] = ("eps", "x", "v")
    for target in targets:
        denoise = gaussian.denoiser(0.3, 0.5, target)
        found.append(run(rule, denoise, start, Cosine(), 10, target=target, bound=0.5)[-1].x0)
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found[1], found[2], rtol=1e-6, atol=1e-8)
    assert float(found[0].abs().max()) <= 0.5


@pytest.mark.parametrize("rule", ["ddpm", "ddim", "dpmpp_2m"])
def test_the_carry_travels_and_the_last_estimate_is_the_sample(rule: str) -> None:
    start = noise(4, 3).float()
    states = run(rule, gaussian.denoiser(0.3, 0.5, "eps"), start, Cosine(), 5)
    assert [state.carry for state in states] == [1, 2, 3, 4, 5]
    assert [state.step for state in states] == [0, 1, 2, 3, 4]
    assert [state.time for state in states] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert torch.equal(last(iter(states)), states[-1].x0)
    torch.testing.assert_close(states[-1].x, states[-1].x0, rtol=0, atol=2e-3)
    assert {state.x.dtype for state in states} == {torch.float32}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rule", ["ddpm", "ddim", "dpmpp_2m"])
def test_single_precision_is_enough(
    rule: str, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although 1 / sqrt(gamma) is 3e4 in the first step."""
    start = noise(64, 3)
    found = []
    for x in (start, start.float()):
        # Generators give other numbers in single precision; here both get the same.
        draws = (noise(64, 3, seed=step) for step in range(100, 150))
        monkeypatch.setattr(noises, "sample_noise_like", lambda x, _, d=draws: next(d).to(x.dtype))
        found.append(run(rule, gaussian.denoiser(0.3, 0.5, "eps"), x, schedule, 50)[-1].x0)
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[1].double(), found[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("rule", ["ddpm", "ddim", "dpmpp_2m"])
def test_two_halves_equal_the_whole(rule: str) -> None:
    def sample(indices: range) -> Tensor:
        generators = noises.generators(5, indices)
        start = noises.sample_noise(generators, (3, 2))
        extra = (generators,) if rule == "ddpm" else ()
        sampler = getattr(samplers, rule)
        return last(sampler(gaussian.denoiser(0.3, 0.5), start, Cosine(), 6, *extra, target="x"))

    whole = sample(range(6))
    assert torch.equal(whole, torch.cat([sample(range(2)), sample(range(2, 6))]))
    assert len(whole.unique(dim=0)) == 6


def test_no_gradient_is_recorded() -> None:
    weight = torch.ones((), requires_grad=True)

    def denoise(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        return weight * x_t, carry

    for state in samplers.dpmpp_2m(denoise, noise(2, 2), Cosine(), 3):
        assert not state.x.requires_grad and torch.is_grad_enabled()


@pytest.mark.parametrize("rule", ["ddpm", "ddim", "dpmpp_2m"])
@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (0, "steps of sampling: expected at least 1, got 0"),
        ([1.0], "two or more"),
        ([1.2, 0.0], r"in \[0, 1\]"),
    ],
)
def test_impossible_steps_are_refused(rule: str, steps: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(rule, gaussian.denoiser(0, 1), noise(1, 1), Cosine(), steps)


def test_ddpm_does_not_go_back() -> None:
    with pytest.raises(UserError, match="falling"):
        run("ddpm", gaussian.denoiser(0, 1), noise(1, 1), Cosine(), [0.0, 1.0])


def _betas(schedule: Callable[[Tensor], Tensor], count: int) -> list[float]:
    """A discrete schedule of diffusers whose signal after n + 1 of its steps is gamma's."""
    gamma = schedule(torch.linspace(0, 1, count + 1, dtype=torch.float64))
    gamma = torch.cat([torch.ones(1, dtype=torch.float64), gamma[1:]])
    return (1 - gamma[1:] / gamma[:-1]).tolist()


@pytest.mark.parametrize("target", ["eps", "x", "v"])
@pytest.mark.parametrize("rule", ["ddim", "small", "large", "dpmpp_2m"])
def test_steps_equal_those_of_diffusers(rule: str, target: Target) -> None:
    diffusers = pytest.importorskip("diffusers")
    schedule, steps, count = Sigmoid(), 20, 100
    kind = {"eps": "epsilon", "x": "sample", "v": "v_prediction"}[target]
    shared = {
        "num_train_timesteps": count,
        "trained_betas": _betas(schedule, count),
        "prediction_type": kind,
        "timestep_spacing": "trailing",
    }
    clipping = {"clip_sample": True, "clip_sample_range": 0.6}
    extra: dict[str, Any] = {}
    if rule == "ddim":
        peer = diffusers.DDIMScheduler(**shared, **clipping)
        extra = {"use_clipped_model_output": True}
    elif rule == "dpmpp_2m":
        peer = diffusers.DPMSolverMultistepScheduler(**shared)
    else:
        peer = diffusers.DDPMScheduler(**shared, **clipping, variance_type=f"fixed_{rule}")
        extra = {"generator": torch.Generator().manual_seed(1)}
    peer.set_timesteps(steps)
    denoise, start = gaussian.denoiser(0.3, 0.5, target), noise(5, 2)
    named: dict[str, Any] = {"target": target, "bound": None if rule == "dpmpp_2m" else 0.6}
    if rule in ("small", "large"):
        named["variance"] = rule
    name = rule if rule in ("ddim", "dpmpp_2m") else "ddpm"
    x = start
    for state in run(name, denoise, start, schedule, steps, **named):
        if state.step == steps - 1:
            break
        timestep = peer.timesteps[state.step]
        gamma = schedule((timestep.double() + 1) / count).expand(5)
        x = peer.step(denoise(x, gamma, None)[0], timestep, x, **extra).prev_sample
        torch.testing.assert_close(x.double(), state.x, rtol=2e-3, atol=2e-3)


def test_a_step_from_where_there_is_no_noise_is_refused() -> None:
    """The sigmoid and the linear schedule leave none at 0, the cosine some."""
    for schedule in (Sigmoid(), Linear()):
        with pytest.raises(UserError, match=r"at which the schedule leaves some noise"):
            list(samplers.ddim(denoise_bent, noise(3, 2), schedule, [0.0, 0.5, 1.0]))
        risen = list(samplers.ddim(denoise_bent, noise(3, 2), schedule, [0.01, 0.5, 1.0]))
        assert risen[-1].x.isfinite().all()
    assert (
        last(samplers.ddim(denoise_bent, noise(3, 2), Cosine(), [0.0, 0.5, 1.0])).isfinite().all()
    )


@pytest.mark.parametrize("rule", ["ddpm", "dpmpp_2m"])
@pytest.mark.parametrize("times", [[1.0, 1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
def test_times_have_to_fall(rule: str, times: list[float]) -> None:
    with pytest.raises(UserError, match="times of sampling: expected falling ones"):
        run(rule, denoise_bent, noise(3, 2), Cosine(), times)
