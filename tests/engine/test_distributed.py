"""Two and three processes over gloo against one, at the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.toy import Points, config, loss, net, train_on_ranks
from scalable_binding.engine.checkpoint import WEIGHTS
from scalable_binding.engine.fit import fit
from scalable_binding.engine.log import read_log
from scalable_binding.errors import UserError

LAMB = {"optimizer.name": "lamb", "optimizer.weight_decay": 0.1, "max_grad_norm": 0.5}
SETTINGS = {"micro_batch_size": 2, "batch_size": 12, "log_every": 4, **LAMB}


def assert_equal_weights(run: Path, reference: Path) -> None:
    found, expected = load_file(run / WEIGHTS), load_file(reference / WEIGHTS)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=2e-5, atol=2e-6, msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, 12 steps, layer norms (batch norms see each rank's share)."""
    run = tmp_path_factory.mktemp("alone")
    fit(net(norm="layer"), loss, Points(), config(**SETTINGS), run)
    return run


@pytest.mark.parametrize("fsdp", [False, True])
def test_two_processes_equal_one(fsdp: bool, tmp_path: Path, alone: Path) -> None:
    assert train_on_ranks(2, tmp_path, config(**SETTINGS, fsdp=fsdp)) == [0, 0]
    assert_equal_weights(tmp_path, alone)
    for line, expected in zip(read_log(tmp_path), read_log(alone), strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert line["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)


def test_sharded_matrices_are_gathered_for_muon(tmp_path: Path) -> None:
    settings = SETTINGS | {"optimizer.name": "muon"}
    alone, sharded = tmp_path / "alone", tmp_path / "sharded"
    fit(net(norm="layer"), loss, Points(), config(**settings), alone)
    assert train_on_ranks(2, sharded, config(**settings, fsdp=True)) == [0, 0]
    found, expected = load_file(sharded / WEIGHTS), load_file(alone / WEIGHTS)
    for name, tensor in expected.items():
        # Both orthogonalize in bfloat16, and gradients are added up in another order.
        torch.testing.assert_close(found[name], tensor, rtol=0.02, atol=2e-3, msg=name)


@pytest.mark.parametrize(
    "stages", [[(3, True), (1, False), (2, True)], [(1, False), (3, True), (2, False)]]
)
def test_checkpoints_load_at_another_world_size(
    stages: list[tuple[int, bool]], tmp_path: Path, alone: Path
) -> None:
    for steps, (size, fsdp) in zip((4, 8, 12), stages, strict=True):
        settings = config(**SETTINGS | {"steps": steps, "fsdp": fsdp})
        assert train_on_ranks(size, tmp_path, settings) == [0] * size
    assert_equal_weights(tmp_path, alone)


def test_torchrun_starts_it(tmp_path: Path, alone: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from engine.toy import config, train\n"
        f"train(Path(sys.argv[1]), config(**{SETTINGS!r}), 'layer')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([*command, str(script), str(tmp_path)], check=True, env=environment, timeout=120)
    assert_equal_weights(tmp_path, alone)


def test_sharding_one_process_is_said_to_do_nothing(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="fsdp is ignored"):
        fit(net(), loss, Points(), config(steps=1, fsdp=True), tmp_path)


def test_a_device_that_is_not_there_ends_in_one_line(tmp_path: Path) -> None:
    for device in ("cuda:99", "abacus"):
        with pytest.raises(UserError, match=f"device '{device}' cannot be used"):
            fit(net(), loss, Points(), config(device=device), tmp_path)
