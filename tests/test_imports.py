"""What inference does not import: training's libraries cost seconds before the first frame."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

UNUSED = (
    "matplotlib.pyplot",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "transformers",
)

PROGRAM = """
import json, sys, torch
before = len(sys.modules)
from scalable_binding.{system} import inference{model}
{load}
print(json.dumps([name for name in {unused!r} if name in sys.modules]))
print(len(sys.modules) - before)
"""


def loaded(system: str, load: str, model: str = "") -> tuple[list[str], int]:
    """The modules of ``UNUSED`` that loading imports, and how many it imports beside torch."""
    program = PROGRAM.format(system=system, model=model, load=load, unused=UNUSED)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    names, count = done.stdout.splitlines()[-2:]
    return json.loads(names), int(count)


@pytest.mark.parametrize(
    ("system", "load", "model"),
    [
        ("crw", "inference.load('shipped')", ""),
        ("flow", "model.load('shipped')", ", model"),
        ("permanence", "inference.load('shipped')", ""),
    ],
)
def test_loading_what_ships_imports_nothing_of_training(system: str, load: str, model: str) -> None:
    """Some 600 modules are ours, the hub's, einops' and jaxtyping's; sympy and dynamo add 1,200."""
    names, count = loaded(system, load, model)
    assert names == []
    assert count < 800
