"""Ten digits that come out of noise, one of each class, and a look at where the network read.

python examples/rin_sample.py [RUN] [OUT] [STEPS]
"""

import sys

import torch

from scalable_binding.data.frames import images
from scalable_binding.plots import grids
from scalable_binding.rin import attention, inference


def main(run: str = "digits", out: str = "digits.png", steps: int | str = 100) -> None:
    """Write a picture of the digits at eight steps of the reverse process, a row for each step."""
    model = inference.load(run)
    settings = inference.SamplingConfig(steps=int(steps), guidance=1.0, seed=0)
    shown = [round(row * (settings.steps - 1) / 7) for row in range(8)]
    rows = []
    for state in inference.sample(model, 10, settings, classes=range(10)):
        if state.step in shown:
            rows.append(inference.pictures(model, state.x0))
            print(f"time {state.time:.2f}: contrast {rows[-1].float().std():.0f}")
    pictures = torch.cat(rows).expand(-1, 3, -1, -1)
    images.write(out, grids.grid(grids.enlarge(pictures, 32), columns=10))

    reading = attention.read(model, 10, settings, classes=range(10))
    ratio, entropy = reading.concentration[-1, -1], reading.entropy[-1, -1]
    print(f"patches with detail are read {ratio:.2f} times as much as if reading were uniform")
    print(f"(entropy {entropy:.3f} of 1); the digits are in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
