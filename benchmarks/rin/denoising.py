"""What a network of images sees through noise, beside linear filters: of each patch, and of all.

    python -m benchmarks.rin.denoising RUN IMAGES [--num 256] [--fit 20000] [--json FILE]

Not run by make bench: a minute on one core for images of 32 x 32. The best linear (Wiener) filter
of the whole image knows nothing of pictures but how pixels vary together; that of a patch does not
even look at its neighbors. A network that has learned to route is better than both at every level
of noise. Errors are mean squares, times 1000, of signals in +-scale; the network has one look
before, as in sampling, and no class.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from benchmarks import timing
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.diffusion import targets
from scalable_binding.rin import inference
from scalable_binding.rin.inference import Pretrained
from scalable_binding.rin.objective import pictures

SIGNAL_SHARES = (0.99, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.05)
BATCH = 64


def wiener_error(signals: Tensor) -> Callable[[float], float]:
    """Return the mean squared error of the best linear filter of signals (n d) as they vary."""
    variances = torch.linalg.eigvalsh(torch.cov(signals.mT.double())).clamp(min=0)
    return lambda share: float((variances * (1 - share) / (share * variances + 1 - share)).mean())


@torch.no_grad()
def network_error(pretrained: Pretrained, signals: Tensor, share: float) -> float:
    """Return the mean squared error of the signals that the network expects."""
    denoise = inference.denoiser(pretrained)
    eps = torch.randn(signals.shape, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for x, noise in zip(signals.split(BATCH), eps.split(BATCH), strict=True):
        gamma = torch.full((len(x),), share)
        x_t = targets.add_noise(x, noise, gamma)
        _, first_look = denoise(x_t, gamma, None)
        prediction, _ = denoise(x_t, gamma, first_look)
        found = targets.to_x(prediction, x_t, gamma, pretrained.diffusion.target)
        total += float((found - x).square().mean()) * len(x)
    return total / len(signals)


def load(images: Path, pretrained: Pretrained, num: int) -> Tensor:
    """Return signals (num c h w) of images in the order of a fixed shuffle."""
    height, width = pretrained.model.size
    dataset = LabeledImages(images, size=(height, width))
    num = min(num, len(dataset))
    shown = torch.stack([dataset[index]["image"] for index in range(num)])
    return pretrained.diffusion.scale * pictures({"image": shown})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("images", type=Path)
    parser.add_argument("--num", type=int, default=256, help="images for the network")
    parser.add_argument("--fit", type=int, default=20_000, help="images that filters are fitted to")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pretrained = inference.load(arguments.run)
    signals = load(arguments.images, pretrained, arguments.num + arguments.fit)
    if len(signals) < arguments.num + 2:
        parser.error(f"{arguments.images}: expected {arguments.num + 2} images, got {len(signals)}")
    shown, learned = signals[: arguments.num], signals[arguments.num :]
    high, wide = pretrained.model.settings.patch
    patches = rearrange(learned, "n c (h p) (w q) -> (n h w) (c p q)", p=high, q=wide)
    of_patch, of_image = wiener_error(patches), wiener_error(learned.flatten(1))
    rows = [
        {
            "share of signal": share,
            "filter of a patch": round(1000 * of_patch(share), 2),
            "filter of the image": round(1000 * of_image(share), 2),
            "network": round(1000 * network_error(pretrained, shown, share), 2),
        }
        for share in SIGNAL_SHARES
    ]
    facts = {"run": arguments.run, "images": len(shown), "values": math.prod(shown.shape[1:])}
    timing.report(rows, {**facts, **timing.conditions()}, arguments.json)


if __name__ == "__main__":
    main()
