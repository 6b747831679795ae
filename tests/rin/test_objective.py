"""The loss: Alg. 1 example by example, and what is hidden, given, weighed or left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from scalable_binding.diffusion import schedules, targets
from scalable_binding.rin import objective
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.model import RIN, Output

SMALL: dict[str, Any] = {
    "size": (4, 4),
    "channels": 1,
    "patch": (2, 2),
    "num_classes": 3,
    "num_latents": 4,
    "latent_width": 8,
    "interface_width": 8,
    "num_blocks": 1,
    "num_layers": 1,
    "num_heads": 2,
    "cross_heads": 2,
}


class Spy(RIN):
    """A network that answers as it is told and remembers what it was asked."""

    def __init__(self, truth: Tensor, target: targets.Target = "eps", **arguments: Any) -> None:
        super().__init__(**(SMALL | arguments))
        self.truth, self.target, self.error = truth, target, 0.0
        self.asked: dict[str, Any] = {}
        self.looks = 0

    def forward(self, x: Tensor, gamma: Tensor, **named: Any) -> Output:  # type: ignore[override]
        self.asked = {"x": x, "gamma": gamma, **named}
        eps = targets.to_eps(self.truth, x, gamma)
        prediction = targets.from_x(self.truth, eps, gamma, self.target) + self.error
        return Output(prediction, torch.zeros(len(x), 4, 8))

    def estimate_latents(self, x: Tensor, gamma: Tensor, **named: Any) -> Any:
        self.looks += len(x)
        marks = torch.arange(1.0, len(x) + 1)[:, None, None].expand(-1, 4, 8)
        return marks, marks if self.settings.interface_conditioning else None


def images(b: int, seed: int = 0) -> dict[str, Tensor]:
    generator = Generator().manual_seed(seed)
    gray = torch.randint(0, 256, (b, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return {"image": gray, "label": torch.arange(b) % 3}


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("target", ["eps", "x", "v"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_perfect_network_has_no_loss_and_an_error_is_squared(
    target: targets.Target, scale: float
) -> None:
    batch = images(6)
    truth = scale * (2 * batch["image"].float() / 255 - 1)
    spy = Spy(truth, target)
    config = DiffusionConfig(target=target, scale=scale)
    found, metrics = objective.loss(spy, batch, generator(), config)
    assert found < 1e-3 and not metrics
    assert (spy.asked["gamma"] > 0).all() and (spy.asked["gamma"] < 1).all()
    if target != "x":
        spy.error = 0.5
        found, _ = objective.loss(spy, batch, generator(), config)
        assert abs(found - 0.25) < 1e-2


def test_a_predicted_signal_is_clipped_before_the_loss() -> None:
    batch = {
        "image": torch.full((4, 1, 4, 4), 255, dtype=torch.uint8),
        "label": torch.zeros(4, dtype=torch.int64),
    }
    spy = Spy(torch.ones(4, 1, 4, 4), "x")
    spy.error = 3.0
    assert objective.loss(spy, batch, generator(), DiffusionConfig(target="x"))[0] == 0


def test_signals_carry_the_noise_that_their_schedule_says() -> None:
    batch = images(4000)
    spy = Spy(2 * batch["image"].float() / 255 - 1)
    objective.loss(spy, batch, generator(), DiffusionConfig(schedule="cosine"))
    gamma = spy.asked["gamma"]
    noise = targets.to_eps(spy.truth, spy.asked["x"], gamma)
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    times = torch.linspace(0, 1, 4001)
    expected = schedules.Cosine()(times).mean()
    assert abs(gamma.mean() - expected) < 0.02


@pytest.mark.parametrize(("rate", "b"), [(0.9, 7), (0.9, 1), (0.5, 4), (0.25, 3)])
def test_each_example_has_latents_at_the_rate_that_is_asked(rate: float, b: int) -> None:
    batch, spy = images(b), Spy(torch.zeros(b, 1, 4, 4))
    counts, config = torch.zeros(b), DiffusionConfig(self_conditioning=rate)
    for seed in range(200):
        objective.loss(spy, batch, generator(seed), config)
        latents = spy.asked["latents"]
        marks = torch.arange(1.0, b + 1)[:, None, None].expand(-1, 4, 8)
        assert ((latents == 0) | (latents == marks)).all()
        counts += latents[:, 0, 0] > 0
    assert abs(counts.sum() / 200 / b - rate) < 0.07
    assert spy.looks == 200 * -(-int(1000 * rate * b) // 1000)


@pytest.mark.parametrize("conditioning", [False, True])
def test_without_self_conditioning_nothing_is_looked_at_first(conditioning: bool) -> None:
    spy = Spy(torch.zeros(4, 1, 4, 4), interface_conditioning=conditioning)
    objective.loss(spy, images(4), generator(), DiffusionConfig(self_conditioning=0.0))
    assert spy.looks == 0 and spy.asked["latents"] is None and spy.asked["interface"] is None
    objective.loss(spy, images(4), generator(), DiffusionConfig(self_conditioning=1.0))
    assert spy.looks == 4 and (spy.asked["latents"] > 0).all()
    assert (spy.asked["interface"] is not None) == conditioning


def test_labels_are_hidden_at_their_rate() -> None:
    batch, spy = images(3000), Spy(torch.zeros(3000, 1, 4, 4))
    objective.loss(spy, batch, generator(), DiffusionConfig(label_dropout=0.2))
    classes = spy.asked["classes"]
    hidden = classes == -1
    assert abs(hidden.float().mean() - 0.2) < 0.03
    assert torch.equal(classes[~hidden], batch["label"][~hidden])
    objective.loss(spy, batch, generator(), DiffusionConfig())
    assert torch.equal(spy.asked["classes"], batch["label"])


def test_a_network_without_classes_is_told_none() -> None:
    spy = Spy(torch.zeros(2, 1, 4, 4), num_classes=0)
    objective.loss(spy, images(2), generator(), DiffusionConfig())
    assert spy.asked["classes"] is None


def test_frames_that_are_given_are_clean_and_not_scored() -> None:
    video = torch.randint(0, 256, (5, 1, 4, 4, 4), dtype=torch.uint8, generator=generator())
    signal = 2 * video.float() / 255 - 1
    arguments = {"size": (4, 4, 4), "patch": (2, 2, 2), "context": 1, "num_classes": 0}
    spy = Spy(signal, **arguments)
    spy.error = torch.zeros(4)[:, None, None].index_fill(0, torch.tensor([0]), 9.0)  # type: ignore
    found, _ = objective.loss(spy, {"video": video}, generator(), DiffusionConfig())
    assert torch.equal(spy.asked["x"][:, :, :1], signal[:, :, :1])
    assert not torch.isclose(spy.asked["x"][:, :, 1:], signal[:, :, 1:]).all()
    assert found < 1e-3


def test_weights_limit_the_signal_to_noise_ratio() -> None:
    batch, spy = images(50), Spy(2 * images(50)["image"].float() / 255 - 1)
    spy.error = 1.0
    found, metrics = objective.loss(spy, batch, generator(), DiffusionConfig(min_snr=2.0))
    weights = targets.min_snr_weight(spy.asked["gamma"], "eps", 2.0)
    assert 0 < weights.min() < 1
    torch.testing.assert_close(found, weights.mean(), atol=1e-2, rtol=1e-2)
    assert abs(metrics["error"] - 1) < 1e-2


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_loss_on_x_does_not_depend_on_the_input_scale(scale: float) -> None:
    batch = images(50)
    spy = Spy(scale * (2 * batch["image"].float() / 255 - 1), "x")
    spy.truth = 0 * spy.truth
    found, _ = objective.loss(spy, batch, generator(), DiffusionConfig(target="x", scale=scale))
    truth = 2 * batch["image"].float() / 255 - 1
    torch.testing.assert_close(found, truth.square().mean(), rtol=1e-3, atol=1e-3)


def test_the_loss_is_a_function_of_the_generator() -> None:
    network = RIN(**SMALL)
    config = DiffusionConfig(label_dropout=0.3)
    one, again, other = (
        objective.loss(network, images(8), generator(seed), config)[0] for seed in (0, 0, 1)
    )
    assert one == again != other


@pytest.mark.parametrize("bfloat16", [False, True])
def test_every_parameter_learns_after_a_first_look_without_gradient(bfloat16: bool) -> None:
    """Autocast keeps low-precision copies of weights: those of the look must not be used again."""
    network = RIN(**SMALL, interface_conditioning=True)
    for name in ("previous", "previous_interface"):
        torch.nn.init.ones_(getattr(network, name).norm.weight)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        found, _ = objective.loss(network, images(8), generator(), DiffusionConfig())
    assert found.dtype == torch.float32
    found.backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_the_held_out_loss_is_that_of_training_and_leaves_no_gradient() -> None:
    network, batch = RIN(**SMALL), images(60)
    config = DiffusionConfig(label_dropout=0.5, min_snr=1.0)
    found = objective.held_out_loss(network, batch, config, repeats=4)
    assert found == objective.held_out_loss(network, batch, config, repeats=4)
    losses = [
        float(objective.loss(network, batch, generator(seed), DiffusionConfig())[0].detach())
        for seed in range(4)
    ]
    assert abs(found - sum(losses) / 4) < 0.1
    assert all(p.grad is None for p in network.parameters())


def test_signals_may_be_made_by_an_encoder() -> None:
    spy = Spy(torch.full((2, 1, 4, 4), 0.25))
    config = DiffusionConfig(scale=0.5)

    def encode(batch: Any) -> Tensor:
        return torch.full((len(batch["index"]), 1, 4, 4), 0.5)

    batch = {"index": torch.arange(2), "label": torch.zeros(2, dtype=torch.int64)}
    assert objective.loss(spy, batch, generator(), config, encode=encode)[0] < 1e-3
