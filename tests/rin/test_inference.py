"""Sampling is Alg. 2, the same in any batch; what cannot be sampled or loaded is refused."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rin import untrained
from scalable_binding.diffusion import noises
from scalable_binding.diffusion.samplers import last
from scalable_binding.diffusion.schedules import Cosine, Sigmoid
from scalable_binding.errors import UserError
from scalable_binding.rin import cuda_graph, denoiser, inference
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.inference import Pretrained, SamplingConfig, generate, load, sample
from scalable_binding.rin.model import Output

FEW = SamplingConfig(steps=4)


@pytest.fixture(scope="module")
def images() -> Pretrained:
    return untrained.images()


def loop(pretrained: Pretrained, classes: Tensor, steps: int, *, carries: bool = True) -> Tensor:
    """DDIM as Alg. 2 and 5 spell it, with the network called by hand."""
    generators = noises.generators(0, range(len(classes)))
    x_t = noises.sample_noise(generators, (1, 8, 8)).double()
    bound, latents = pretrained.diffusion.scale, None
    x0 = x_t
    for step in range(steps):
        now, after = (
            Cosine()(torch.tensor(1 - s / steps, dtype=torch.float64)) for s in (step, step + 1)
        )
        with torch.no_grad():
            output = pretrained.model(
                x_t.float(),
                now.float().expand(len(x_t)),
                classes=classes,
                latents=latents if carries else None,
            )
        latents = output.latents
        x0 = (x_t - (1 - now).sqrt() * output.prediction) / now.sqrt()
        x0 = x0.clamp(-bound, bound)
        eps = (x_t - now.sqrt() * x0) / (1 - now).sqrt()
        x_t = after.sqrt() * x0 + (1 - after).sqrt() * eps
    return x0.float()


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_sampling_is_the_loop_of_algorithm_2(scale: float) -> None:
    pretrained = untrained.images(DiffusionConfig(scale=scale))
    config = replace(FEW, sampler="ddim")
    found = last(sample(pretrained, 3, config, classes=[7, 1]))
    expected = loop(pretrained, torch.tensor([7, 1, 7]), 4)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert float(found.abs().max()) <= scale + 1e-6
    # Without latents from the step before it would be something else.
    other = loop(pretrained, torch.tensor([7, 1, 7]), 4, carries=False)
    assert float((other - expected).abs().max()) > 1e-2


def test_a_network_trained_without_latents_is_given_none() -> None:
    pretrained = untrained.images(DiffusionConfig(self_conditioning=0.0))
    found = last(sample(pretrained, 2, replace(FEW, sampler="ddim"), classes=[7]))
    expected = loop(pretrained, torch.tensor([7, 7]), 4, carries=False)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_interface_is_carried_where_the_network_takes_it() -> None:
    pretrained = untrained.images(interface_conditioning=True)
    states = list(sample(pretrained, 2, FEW))
    assert states[-1].carry.interface.shape == (2, 16, 8)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp_2m"])
def test_two_halves_equal_the_whole(images: Pretrained, sampler: Any, guidance: float) -> None:
    config = replace(FEW, sampler=sampler, guidance=guidance)
    whole = last(sample(images, 5, config, classes=[3, 8]))
    parts = [
        last(sample(images, count, config, classes=[3, 8], first=first))
        for first, count in ((0, 2), (2, 3))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)
    assert float((whole[0] - whole[2]).abs().max()) > 0.01


def test_another_seed_gives_other_samples(images: Pretrained) -> None:
    one, two = (last(sample(images, 1, replace(FEW, seed=seed))) for seed in (0, 1))
    assert float((one - two).abs().max()) > 0.1


def test_guidance_leads_away_from_the_model_without_a_class(images: Pretrained) -> None:
    """In one step: without + scale (with - without), which is affine in the clipped-free x0."""
    wide = replace(images, diffusion=DiffusionConfig(target="x", scale=50.0, label_dropout=0.1))
    step = SamplingConfig(steps=1, sampler="ddim")
    known = last(sample(wide, 2, step, classes=[4]))
    unknown = last(sample(wide, 2, step))
    guided = last(sample(wide, 2, replace(step, guidance=3.0), classes=[4]))
    torch.testing.assert_close(guided, unknown + 3 * (known - unknown), rtol=1e-3, atol=1e-4)
    idle = replace(step, guidance=3.0, guidance_interval=(0.0, 0.5))
    torch.testing.assert_close(last(sample(wide, 2, idle, classes=[4])), known)


def test_half_precision_is_nearly_the_same_and_the_sampler_stays_single(
    images: Pretrained,
) -> None:
    config = replace(FEW, sampler="ddim")
    fine, coarse = (
        list(sample(images, 3, replace(config, bfloat16=half), classes=[2]))
        for half in (False, True)
    )
    assert coarse[-1].x0.dtype == coarse[-1].x.dtype == torch.float32
    assert float((coarse[0].x - fine[0].x).abs().mean()) < 0.02
    assert not torch.equal(coarse[0].x, fine[0].x)


def test_schedules_of_sampling_can_differ_from_that_of_training(images: Pretrained) -> None:
    assert images.schedule == Sigmoid()
    found = [
        last(sample(images, 1, replace(FEW, sampler="ddim", schedule=name)))
        for name in ("trained", "sigmoid", "cosine")
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_more_samples_than_fit_come_in_batches(images: Pretrained) -> None:
    seen: list[tuple[int, int, int]] = []
    batches = list(
        generate(
            images,
            7,
            replace(FEW, batch_size=3),
            classes=[0, 1],
            watch=lambda first, state: seen.append((first, state.step, len(state.x0))),
        )
    )
    assert [(batch.first, len(batch.samples)) for batch in batches] == [(0, 3), (3, 3), (6, 1)]
    assert torch.cat([batch.classes for batch in batches]).tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert seen == [(f, s, n) for f, n in ((0, 3), (3, 3), (6, 1)) for s in range(4)]
    whole = inference.pictures(images, last(sample(images, 7, FEW, classes=[0, 1])))
    found = torch.cat([batch.samples for batch in batches])
    assert found.dtype == torch.uint8
    assert int((found.int() - whole.int()).abs().max()) <= 1


@pytest.mark.parametrize(
    "lack",
    [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_batches_that_are_too_large_are_halved(
    images: Pretrained, monkeypatch: pytest.MonkeyPatch, lack: RuntimeError
) -> None:
    honest = images.model.forward

    def limited(x: Tensor, gamma: Tensor, **named: Any) -> Any:
        if len(x) > room:
            raise lack
        return honest(x, gamma, **named)

    monkeypatch.setattr(images.model, "forward", limited)
    room = 3
    batches = list(generate(images, 10, replace(FEW, batch_size=8)))
    assert [len(batch.samples) for batch in batches] == [2, 2, 2, 2, 2]
    room = 0
    with pytest.raises(UserError, match="one sample does not fit"):
        list(generate(images, 2, FEW))


def test_other_errors_of_the_network_are_not_hidden(
    images: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(images.model, "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(generate(images, 2, FEW))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"classes": [10]}, "class of a sample: expected 0 to 9, got 10"),
        ({"classes": [3, -1]}, "expected 0 to 9, got -1"),
        ({"classes": []}, "got none"),
        ({"context": torch.zeros(2, 1, 1, 8, 8)}, "context frames: expected none"),
    ],
)
def test_what_the_network_does_not_know_is_refused(
    images: Pretrained, named: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        sample(images, 2, FEW, **named)


def test_guidance_needs_training_without_classes(images: Pretrained) -> None:
    guided = replace(FEW, guidance=2.0)
    with pytest.raises(UserError, match="label_dropout above 0"):
        sample(untrained.images(DiffusionConfig()), 2, guided, classes=[1])
    with pytest.raises(UserError, match=r"label_dropout above 0.*without classes"):
        sample(untrained.images(DiffusionConfig(), num_classes=0), 2, guided)
    with pytest.raises(UserError, match="give classes"):
        sample(images, 2, guided)


def test_a_network_that_was_never_without_a_class_is_warned_of(images: Pretrained) -> None:
    with pytest.warns(UserWarning, match="never without a class"):
        sample(untrained.images(DiffusionConfig()), 2, FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(images, 2, FEW)
        sample(untrained.images(DiffusionConfig()), 2, FEW, classes=[1])


def test_signals_without_limits_are_not_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A denoiser that knows standard normal signals best, ``sqrt(1 - gamma) x_t`` being eps."""

    def best(x: Tensor, gamma: Tensor, **named: Any) -> Output:
        rest = (1 - gamma).sqrt()[:, None, None, None]
        return Output(rest * x, torch.zeros(len(x), 6, 16))

    for clip, expected in ((True, 0.68), (False, 1.0)):
        pretrained = untrained.images(DiffusionConfig(clip=clip), num_classes=0)
        monkeypatch.setattr(pretrained.model, "forward", best)
        settings = SamplingConfig(steps=30, sampler="ddim", schedule="cosine")
        found = last(sample(pretrained, 60, settings))
        assert float(found.std()) == pytest.approx(expected, abs=0.05)


def test_a_network_without_classes_refuses_them() -> None:
    with pytest.raises(UserError, match="the network knows no classes"):
        sample(untrained.images(DiffusionConfig(), num_classes=0), 2, FEW, classes=[1])


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"guidance": -1.0}, "guidance"),
        ({"guidance_interval": (0.6, 0.4)}, "guidance_interval"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused(named: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        SamplingConfig(**named)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sampler", "sampler: expected one of ddpm, ddim, dpmpp_2m, got 'bogus'"),
        ("variance", "variance: expected one of large, small"),
        ("schedule", "schedule: expected one of cosine, sigmoid"),
    ],
)
def test_unknown_names_are_refused(name: str, words: str) -> None:
    settings = SamplingConfig()
    object.__setattr__(settings, name, "bogus")  # past the check of types that tests run under
    with pytest.raises(UserError, match=words):
        settings.__post_init__()


def test_samples_are_pictures_of_bytes() -> None:
    pretrained = untrained.images(DiffusionConfig(scale=0.5))
    levels = torch.tensor([-0.5, 0.0, 0.5, 3.0])
    x = levels.view(-1, 1, 1, 1).expand(4, 1, 8, 8)
    assert inference.pictures(pretrained, x)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


def test_a_saved_run_samples_as_before(images: Pretrained, tmp_path: Path) -> None:
    loaded = load(untrained.save(images, tmp_path / "run", data={"fps": 12.0}))
    assert loaded.diffusion == images.diffusion and loaded.fps == 12
    assert not loaded.model.training
    one, two = (last(sample(it, 2, FEW, classes=[5])) for it in (images, loaded))
    assert torch.equal(one, two)


def test_runs_that_cannot_be_used_are_refused(images: Pretrained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such run: .*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"expected a config\.json in it"):
        load(tmp_path / "empty")
    run = untrained.save(images, tmp_path / "run")
    (run / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights"):
        load(run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": "crw"}, "system: expected 'rin', got 'crw'"),
        ({"diffusion": None}, "expected settings of 'diffusion'"),
        ({"diffusion": {"target": "y"}}, "target"),
        ({"patch": None}, "expected the network's 'patch'"),
        ({"patch": [3, 3]}, "does not describe a network.*multiples of the patch 3 x 3"),
        ({"num_latents": 7}, r"another architecture, latents: expected shape \(5, 16\)"),
        ({"num_blocks": 3}, "expected tensor 'blocks.2"),
    ],
)
def test_configurations_that_do_not_match_are_refused(
    images: Pretrained, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load(untrained.save(images, tmp_path / "run", **changes))


def test_a_damaged_config_is_refused(images: Pretrained, tmp_path: Path) -> None:
    run = untrained.save(images, tmp_path / "run")
    (run / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read"):
        load(run)
    (run / "config.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(UserError, match="system"):
        load(run)


def test_known_pixels_are_kept_and_the_others_filled_in() -> None:
    images = untrained.images()
    pictures = torch.arange(256, dtype=torch.uint8)[:128].view(2, 1, 8, 8)
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    known = inference.Known(pictures, mask)
    config = SamplingConfig(steps=4, guidance=2.0)
    *_, state = inference.sample(images, 2, config, classes=[1], known=known)
    found = inference.pictures(images, state.x0)
    assert torch.equal(found[..., :4], pictures[..., :4])
    *_, free = inference.sample(images, 2, config, classes=[1])
    assert not torch.equal(found[..., 4:], inference.pictures(images, free.x0)[..., 4:])
    with pytest.raises(UserError, match=r"known pictures: expected \(3, 1, 8, 8\)"):
        inference.sample(images, 3, config, classes=[1], known=known)
    with pytest.raises(UserError, match="one value for each pixel"):
        inference.sample(
            images, 2, config, classes=[1], known=inference.Known(pictures, mask[..., :4])
        )


def test_the_schedule_of_sampling_takes_start_end_and_temperature() -> None:
    images = untrained.images()
    usual = SamplingConfig(steps=3, schedule="sigmoid")
    found = [
        list(inference.sample(images, 1, config, classes=[1]))[-1].x0
        for config in (usual, replace(usual, start=-3.0, end=3.0), replace(usual, start=-1.0))
    ]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    with pytest.raises(UserError, match="start is of the sigmoid schedule: got the cosine"):
        SamplingConfig(start=-1.0)


def test_weights_cast_once_give_the_bits_of_weights_cast_in_every_step() -> None:
    model = untrained.images(interface_conditioning=True).model
    generator = torch.Generator().manual_seed(0)
    x, gamma = torch.randn(2, 1, 8, 8, generator=generator), torch.tensor([0.2, 0.8])
    named = {"classes": torch.tensor([3, -1]), "latents": torch.randn(2, 6, 16)}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = denoiser.with_bfloat16_weights(model)(x, gamma, **named)
        anew = model(x, gamma, **named)
    assert torch.equal(cast.prediction, anew.prediction)
    assert torch.equal(cast.latents, anew.latents)
    assert model.blocks[0].read.q.weight.dtype == torch.float32


def test_zeros_are_what_a_first_step_carries_and_graphs_need_a_gpu() -> None:
    images = untrained.images(interface_conditioning=True)
    x, gamma = torch.randn(2, 1, 8, 8), torch.tensor([0.2, 0.8])
    denoise = denoiser.denoiser(images, torch.tensor([3, 4]))
    with torch.no_grad():
        first, _ = denoise(x, gamma, None)
        zeros, _ = denoise(x, gamma, cuda_graph.zeros(images, 2))
    assert torch.equal(first, zeros)
    with pytest.raises(UserError, match="cuda_graph: expected a network on a CUDA device, got cpu"):
        inference.sample(images, 1, SamplingConfig(cuda_graph=True), classes=[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_graph_gives_the_samples_of_eager_steps() -> None:
    images = untrained.images()
    images.model.to("cuda")
    config = SamplingConfig(steps=5, guidance=2.0, guidance_interval=(0.3, 0.8))
    found = [
        [*inference.sample(images, 3, replace(config, cuda_graph=graph), classes=[1])][-1].x0
        for graph in (False, True)
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)
