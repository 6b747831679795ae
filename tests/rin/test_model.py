"""The network: against a slow version of itself, and what thesis 2.2 says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from reference.rin import SlowRIN
from scalable_binding.errors import UserError
from scalable_binding.rin import model
from scalable_binding.rin.model import RIN, Output

SMALL: dict[str, Any] = {
    "size": (4, 6),
    "channels": 2,
    "patch": (2, 3),
    "num_classes": 3,
    "num_latents": 5,
    "latent_width": 16,
    "interface_width": 12,
    "num_blocks": 2,
    "num_layers": 2,
    "num_heads": 4,
    "cross_heads": 2,
}


def small(**changes: Any) -> RIN:
    """A small network whose every parameter has been moved from its special start."""
    network = model.init_model(0, **(SMALL | changes)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return network


def inputs(network: RIN, seed: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (3, network.channels, *network.size)
    return {
        "x": torch.randn(shape, generator=generator),
        "gamma": torch.rand(3, generator=generator),
        "classes": torch.tensor([2, -1, 0]) if network.num_classes else None,
    }  # type: ignore[dict-item]


def previous(network: RIN, seed: int = 3) -> Tensor:
    s = network.settings
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, s.num_latents, s.latent_width, generator=generator)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_classes": 0, "interface_expansion": 2, "latent_expansion": 3},
        {"size": (12,), "patch": (3,)},
        {"size": (6, 4, 2), "patch": (2, 2, 1)},
        {"size": (6, 4, 2), "patch": (2, 2, 1), "context": 3},
        {"size": (6, 4, 2), "patch": (2, 2, 1), "context": 4},
        {"latent_width": 16, "interface_width": 24, "normalize_input": True},
        {"interface_conditioning": True},
    ],
    ids=str,
)
def test_the_network_is_alg_3(changes: dict[str, Any]) -> None:
    network = small(**changes)
    slow = SlowRIN(network.state_dict(), model.arguments(network))
    given, before = inputs(network), previous(network)
    tokens = torch.randn(3, len(network.embedding.positions), network.settings.interface_width)
    interface = tokens if network.settings.interface_conditioning else None
    found = network(**given, latents=before, interface=interface, attend=True)
    assert found.attention is not None and len(found.attention) == 2
    for i in range(3):
        classes = None if given["classes"] is None else int(given["classes"][i])
        expected = slow(given["x"][i], given["gamma"][i], classes, before[i], tokens[i])
        torch.testing.assert_close(found.prediction[i].double(), expected[0], atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(found.latents[i].double(), expected[1], atol=2e-4, rtol=1e-3)
        for attention, slow_attention in zip(found.attention, expected[2], strict=True):
            torch.testing.assert_close(attention[i].double(), slow_attention, atol=1e-4, rtol=1e-3)
        if interface is not None:
            assert found.interface is not None
            close = torch.testing.assert_close
            close(found.interface[i].double(), expected[3], atol=2e-4, rtol=1e-3)
    assert interface is not None or found.interface is None


@pytest.mark.parametrize("conditioning", [False, True])
def test_at_first_previous_latents_change_nothing(conditioning: bool) -> None:
    network = model.init_model(0, **SMALL, interface_conditioning=conditioning).eval()
    fresh = network(**inputs(network))
    again = network(**inputs(network), latents=previous(network), interface=fresh.interface)
    assert torch.equal(fresh.prediction, again.prediction)
    assert torch.equal(fresh.latents, again.latents)
    moved = small(interface_conditioning=conditioning)
    assert not torch.equal(
        moved(**inputs(moved)).prediction,
        moved(**inputs(moved), latents=previous(moved)).prediction,
    )


def test_no_previous_latents_are_zeros_passed_through() -> None:
    network = small()
    zeros = torch.zeros_like(previous(network))
    absent = network(**inputs(network)).prediction
    assert torch.equal(absent, network(**inputs(network), latents=zeros).prediction)
    without = small()
    torch.nn.init.zeros_(without.previous.norm.weight)
    torch.nn.init.zeros_(without.previous.norm.bias)
    assert not torch.equal(absent, without(**inputs(network)).prediction)


def test_no_gradient_reaches_the_previous_step() -> None:
    network = small()
    before = previous(network).requires_grad_()
    network(**inputs(network), latents=before).prediction.sum().backward()
    assert before.grad is None
    assert all(p.grad is not None for p in network.previous.parameters())


@pytest.mark.parametrize("conditioning", [False, True])
def test_a_preview_is_the_latents_of_a_first_pass(conditioning: bool) -> None:
    network = small(interface_conditioning=conditioning)
    whole = network(**inputs(network))
    latents, interface = network.estimate_latents(**inputs(network))
    assert torch.equal(latents, whole.latents)
    assert not latents.requires_grad
    if conditioning:
        assert torch.equal(interface, whole.interface)
    else:
        assert interface is None


def test_rows_of_the_read_attention_sum_to_one() -> None:
    network = small()
    maps = network(**inputs(network), attend=True).attention
    assert [tuple(one.shape) for one in maps] == [(3, 5, 4)] * 2
    for one in maps:
        torch.testing.assert_close(one.sum(dim=-1), torch.ones(3, 5))
    assert network(**inputs(network)).attention is None


def test_asking_for_attention_changes_nothing_else() -> None:
    network = small()
    assert torch.equal(
        network(**inputs(network)).prediction, network(**inputs(network), attend=True).prediction
    )


def test_every_example_is_computed_by_itself() -> None:
    network = small()
    given = inputs(network)
    together = network(**given)
    for i in range(3):
        alone = network(**{name: value[i : i + 1] for name, value in given.items()})
        torch.testing.assert_close(alone.prediction[0], together.prediction[i])


def test_a_dropped_label_is_no_label_and_not_a_class() -> None:
    network = small()
    given = inputs(network)
    dropped = network(given["x"], given["gamma"], classes=torch.full((3,), -1)).prediction
    assert torch.equal(dropped, network(given["x"], given["gamma"]).prediction)
    for number in range(3):
        told = network(given["x"], given["gamma"], classes=torch.full((3,), number)).prediction
        assert not torch.allclose(dropped, told)


def test_frames_that_are_given_are_read_and_not_generated() -> None:
    network = small(size=(6, 4, 2), patch=(2, 2, 1), context=3)
    given = inputs(network)
    found = network(**given).prediction
    assert torch.equal(found[:, :, :3], torch.zeros_like(found[:, :, :3]))
    assert (found[:, :, 3:] != 0).all()
    changed = given["x"].clone()
    changed[:, :, 0] += 1
    assert not torch.allclose(network(**(given | {"x": changed})).prediction, found)


def test_positions_tell_patches_apart() -> None:
    network = small(size=(4, 4), patch=(2, 2))
    same = torch.ones(1, 2, 4, 4)
    found = network(same, torch.tensor([0.5])).prediction
    assert not torch.allclose(found[..., :2, :2], found[..., 2:, 2:])


def test_a_normalized_input_has_no_scale() -> None:
    network = small(normalize_input=True)
    given = inputs(network)
    scaled = given | {"x": 3 * given["x"]}
    torch.testing.assert_close(
        network(**scaled).prediction, network(**given).prediction, atol=1e-4, rtol=1e-4
    )


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        network = small(checkpointing=checkpointing, dropout=0.2, drop_path=0.2).train()
        torch.manual_seed(5)
        network(**inputs(network)).prediction.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_under_bfloat16_what_leaves_the_network_and_its_norms_stay_float32() -> None:
    network = small()
    kinds = {}
    for name, module in network.named_modules():
        if name.endswith("norm") or name == "readout":
            module.register_forward_hook(
                lambda _, __, out, name=name: kinds.__setitem__(name, out.dtype)
            )
    with torch.autocast("cpu", torch.bfloat16):
        found = network(**inputs(network), latents=previous(network), attend=True)
    assert found.prediction.dtype == found.latents.dtype == torch.float32
    assert found.attention[0].dtype == torch.float32
    assert set(kinds.values()) == {torch.float32}
    exact = network(**inputs(network), latents=previous(network))
    assert not torch.equal(found.prediction, exact.prediction)
    assert (found.prediction - exact.prediction).abs().mean() < 0.05 * exact.prediction.std()


def test_dropout_acts_in_training_and_only_in_the_layers_on_latents() -> None:
    network = small(dropout=0.5).train()
    one, other = (network(**inputs(network)).prediction for _ in range(2))
    assert not torch.equal(one, other)
    network = small(dropout=0.5, num_layers=0).train()
    one, other = (network(**inputs(network)).prediction for _ in range(2))
    assert torch.equal(one, other)


def test_the_start_is_the_authors() -> None:
    """Glorot's limits over (width, heads, d_head), normal embeddings, biases and norms at rest."""
    network = model.init_model(0, **(SMALL | {"latent_width": 64, "interface_width": 32}))
    state = network.state_dict()
    limits = {
        "blocks.0.layers.0.attention.qkv": (6 / (64 * (4 + 16))) ** 0.5,
        "blocks.0.layers.0.attention.out": (6 / (4 * (16 + 64))) ** 0.5,
        "blocks.1.read.q": (6 / (64 * (2 + 16))) ** 0.5,
        "blocks.1.read.kv": (6 / (32 * (2 + 16))) ** 0.5,
        "blocks.1.write.out": (6 / (2 * (16 + 32))) ** 0.5,
        "blocks.0.write_ffn.expand": (6 / (32 + 128)) ** 0.5,
        "readout": (6 / (32 + 12)) ** 0.5,
    }
    for name, limit in limits.items():
        largest = state[f"{name}.weight"].abs().max()
        assert 0.98 * limit < largest <= limit, name
        assert not state[f"{name}.bias"].any()
    for name in ("latents", "embedding.positions"):
        assert state[name].abs().max() <= 0.04
    assert 0.012 < state["latents"].std() < 0.022
    assert not state["previous.norm.weight"].any() and not state["previous.norm.bias"].any()


def test_weights_are_a_function_of_the_seed_and_leave_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    first, second, third = (model.init_model(seed, **SMALL).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["latents"], third["latents"])


def test_stacked_matrices_are_declared_to_lamb() -> None:
    network = small()
    found = {
        (name, key): network.get_parameter(f"{name}.{key}").shape[0] // slices
        for name, module in network.named_modules()
        for key, slices in getattr(module, "fused_slices", {}).items()
    }
    assert found[("blocks.0.read", "kv.weight")] == 12
    assert found[("blocks.0.layers.1.attention", "qkv.weight")] == 16
    assert len(found) == 2 * (1 + 1 + 2)


def test_a_network_is_saved_and_loaded_with_its_arguments(tmp_path) -> None:
    network = small(dropout=0.1)
    network.save_pretrained(tmp_path)
    loaded = RIN.from_pretrained(tmp_path)
    assert loaded.settings == network.settings
    assert torch.equal(loaded(**inputs(network)).prediction, network(**inputs(network)).prediction)
    assert RIN(**model.arguments(network)).settings == network.settings


def test_networks_saved_before_the_setting_keep_their_frequencies(tmp_path) -> None:
    network = small(latent_width=64, gamma_includes_end=True)
    assert network.gamma.frequencies[-1] == pytest.approx(1e-4)
    assert small(latent_width=64).gamma.frequencies[-1] == pytest.approx(10_000 ** (-7 / 8))
    network.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    assert saved["gamma_includes_end"] is True and "num_blocks" in saved
    del saved["gamma_includes_end"]
    path.write_text(json.dumps(saved))
    assert RIN.from_pretrained(tmp_path).settings == network.settings
    small(latent_width=64).save_pretrained(tmp_path / "new")
    assert not RIN.from_pretrained(tmp_path / "new").settings.gamma_includes_end


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size": (5, 6)}, "multiples of the patch 2 x 3"),
        ({"size": (4, 6, 2, 2)}, "model.size"),
        ({"patch": (2,)}, "model.patch"),
        ({"num_latents": 2}, "model.num_latents"),
        ({"num_heads": 3}, "model.latent_width"),
        ({"cross_heads": 5}, "narrower width"),
        ({"context": 1}, "model.context"),
        ({"dropout": 1.0}, "model.dropout"),
        ({"size": (4, 4, 4), "patch": (2, 2, 2), "context": 4}, "model.context"),
    ],
    ids=str,
)
def test_arguments_that_do_not_go_together_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        RIN(**(SMALL | changes))


def test_an_input_of_another_size_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected \(b, 2, 4, 6\), got \(1, 2, 6, 6\)"):
        small()(torch.zeros(1, 2, 6, 6), torch.ones(1))


COMPILED = """
import torch
from scalable_binding.rin import model

for changes in (
    {"size": (8, 12), "patch": (2, 4)},
    {"size": (4, 4, 4), "patch": (2, 2, 2), "context": 1, "checkpointing": True,
     "dropout": 0.1, "interface_conditioning": True, "normalize_input": True},
):
    network = model.init_model(0, channels=1, num_classes=3, num_latents=5, latent_width=16,
                         interface_width=8, num_blocks=2, num_layers=1, num_heads=2,
                         cross_heads=2, **changes)
    x, gamma = torch.randn(2, 1, *network.size), torch.rand(2)
    classes = torch.tensor([0, -1])
    network.eval()
    plain = network(x, gamma, classes=classes)
    estimate_latents = network.estimate_latents(x, gamma, classes=classes)
    network.compile(fullgraph=True, backend="eager")
    found = network(x, gamma, classes=classes)
    assert torch.allclose(found.prediction, plain.prediction, atol=1e-6)
    latents, _ = network.estimate_latents(x, gamma, classes=classes)
    assert torch.allclose(latents, estimate_latents[0], atol=1e-6)
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        network(x, gamma, classes=classes, latents=latents).prediction.sum().backward()
print("whole")
"""


@pytest.mark.slow
def test_the_network_compiles_to_one_graph() -> None:
    """In a process of its own, without the checks of shapes, which no compiler sees through."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.stdout.strip() == "whole", done.stderr[-2000:]


def test_output_is_a_plain_tuple() -> None:
    prediction, latents, attention, interface = network_output = small()(**inputs(small()))
    assert isinstance(network_output, Output) and attention is None and interface is None
    assert prediction.shape == (3, 2, 4, 6) and latents.shape == (3, 5, 16)
