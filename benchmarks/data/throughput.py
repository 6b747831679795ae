"""Examples a second and core that the data sets of `sbind rin train` give, in batches.

    python -m benchmarks.data.throughput
    python -m benchmarks.data.throughput --images train.zip

Claim: digits over 20,000 and images of 32 x 32 pixels from a ZIP over 2,000 a second, on one core.
Beside the ZIP runs the least that anyone has to do: Pillow decodes the same JPEGs. Without
``--images`` the ZIP is made of 2,000 drawn images.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks import timing
from scalable_binding.data.datasets.digits import Digits
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.datasets.moving_digits import MovingDigits
from scalable_binding.data.synthetic.stills import SyntheticImages

BATCH = 128
SIDE = 32


def draw_zip(path: Path, num: int = 2000) -> Path:
    """Return a ZIP of smooth random JPEGs of two classes."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(num):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            content = io.BytesIO()
            coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
            archive.writestr(f"{number % 2}/{number}.jpg", content.getvalue())
    return path


def load(dataset: Dataset, num: int) -> Callable[[], None]:
    """Return a run that takes so many examples in batches, in this process."""

    def run() -> None:
        for _ in DataLoader(dataset, batch_size=BATCH, sampler=range(num)):
            pass

    return run


def decode(path: Path, num: int) -> Callable[[], None]:
    """Return a run that decodes so many JPEGs of a ZIP with Pillow and does no more."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
        contents = [archive.read(name) for name in islice(names, num)]

    def run() -> None:
        for content in contents:
            np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    return run


def main() -> None:
    options = timing.parser(__doc__, rounds=5)
    options.add_argument("--images", type=Path, help="a ZIP of JPEGs, instead of a drawn one")
    options.add_argument("--num", type=int, default=2000, help="images a round")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.images or draw_zip(Path(folder) / "images.zip", arguments.num)
        few = max(1, arguments.num // 10)
        sizes = {
            "digits": arguments.num * 5,
            "moving digits": few,
            "shapes, first time": max(1, few // 4),
            "shapes, remembered": arguments.num,
            "ZIP of JPEGs": arguments.num,
            "ZIP of JPEGs, decoding alone": arguments.num,
        }
        remembered = SyntheticImages(num_images=max(1, few // 4))
        fresh = iter(range(10**9))
        runs = {
            "digits": load(Digits(), sizes["digits"]),
            "moving digits": load(MovingDigits(), sizes["moving digits"]),
            "shapes, first time": lambda: load(
                SyntheticImages(seed=next(fresh)), sizes["shapes, first time"]
            )(),
            "shapes, remembered": load(remembered, sizes["shapes, remembered"]),
            "ZIP of JPEGs": load(LabeledImages(path, size=SIDE, flip=True), arguments.num),
            "ZIP of JPEGs, decoding alone": decode(path, arguments.num),
        }
        seconds = timing.in_turns(runs, arguments.rounds, clock=arguments.clock)
    rows = [
        {
            "": name,
            "examples": sizes[name],
            "a second": round(sizes[name] / statistics.median(own)),
            "from": round(sizes[name] / max(own)),
            "to": round(sizes[name] / min(own)),
        }
        for name, own in seconds.items()
    ]
    timing.report(rows, {"clock": arguments.clock, **timing.conditions()}, arguments.json)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
