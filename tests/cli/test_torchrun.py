"""The same command on two processes: the weights of one process at the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scalable_binding.engine.checkpoint import WEIGHTS

SETTINGS = {
    "--fit.steps": "2",
    "--fit.batch_size": "4",
    "--fit.micro_batch_size": "1",
    "--fit.device": "cpu",
    "--fit.bfloat16": "false",
    "--fit.optimizer.eps": "1e-3",  # or Adam follows the sign of what is zero but for rounding
    "--fit.progress": "false",
}

SMALLER = {
    "crw": {"--clips.size": "64", "--clips.crop": "48", "--walk.views.size": "32"},
    "flow": {"--clips.size": "64", "--clips.crop": "64", "--loss.views.size": "48"},
    "permanence": {"--games.num_games": "4", "--games.num_frames": "4"},
}


def train(system: str, run: Path, *launcher: str) -> dict[str, torch.Tensor]:
    """The weights that ``sbind SYSTEM train`` leaves, started with ``python LAUNCHER``."""
    options = SETTINGS | SMALLER[system] | {"--preset": "debug", "--run": str(run)}
    command = [sys.executable, *launcher, "scalable_binding", system, "train"]
    arguments = [part for option in options.items() for part in option]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments], check=True, env=environment, timeout=200)
    return load_file(run / WEIGHTS)


@pytest.mark.slow
@pytest.mark.parametrize("system", SMALLER)
def test_two_processes_equal_one(system: str, tmp_path: Path) -> None:
    expected = train(system, tmp_path / "one", "-m")
    # Without "--", torchrun takes --run for one of its own options.
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    found = train(system, tmp_path / "two", *torchrun)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # Each process keeps the batch statistics of its own share of the examples.
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
