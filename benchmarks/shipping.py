"""Puts the network of a run into the package.

``python -m benchmarks.shipping`` writes the checksums of every model that ships anew: after one of
its files has been changed on purpose.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from benchmarks import timing
from scalable_binding import weights
from scalable_binding.atomic import write_text
from scalable_binding.checksums import write_checksums
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, latest_step


def ship(model: nn.Module, run: Path, folder: Path, card: Mapping[str, Any]) -> None:
    """Write a model in float16, its run's settings, and a card of how it came about.

    The card also tells how many steps were done of how many that were planned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)
    shutil.copyfile(run / CONFIG, folder / CONFIG)
    planned = json.loads((run / CONFIG).read_text(encoding="utf-8"))["fit"]["steps"]
    whole = {**card, **timing.conditions(), "steps": latest_step(run), "planned": planned}
    write_text(folder / "card.json", json.dumps(whole, indent=2) + "\n")
    write_checksums(folder, shipped_files(folder))


def shipped_files(folder: Path) -> list[Path]:
    """What has a checksum: settings, card, weights and rounds, but not words about them."""
    return [path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors")]


if __name__ == "__main__":
    for folder in sorted(weights.ROOT.iterdir()):
        if (folder / WEIGHTS).is_file():
            write_checksums(folder, shipped_files(folder))
