"""What a forward pass costs as tokens become more: beside a plain transformer.

    python -m benchmarks.rin.scaling [--rounds 3] [--clock cpu] [--plot FILE] [--json FILE]

Not run by make bench: some five minutes. The claim: with 128 latents the cost grows in proportion
to the tokens, where a transformer as wide (256) and as deep (8 layers of attention, the writing
not counted) grows with their square. The last column is the time of four times the tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import timing
from scalable_binding.nn.patches import PatchEmbedding
from scalable_binding.plots import curves
from scalable_binding.rin import model
from scalable_binding.rin.blocks import Layer

SIDES = (16, 32, 64, 128)
"""Of images of single-pixel patches: 256 to 16,384 tokens."""

WIDTH, HEADS, BLOCKS, LAYERS, LATENTS = 256, 8, 2, 3, 128
DEPTH = BLOCKS * (1 + LAYERS)


class Transformer(nn.Module):
    """Tokens that all look at all, DiT without its conditioning."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.embedding = PatchEmbedding((side, side), 3, (1, 1), WIDTH)
        self.layers = nn.ModuleList(Layer(WIDTH, HEADS, 4, 0.0, 0.0) for _ in range(DEPTH))
        self.readout = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedding(x)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.readout(tokens)


def contestants(side: int) -> dict[str, Callable[[], object]]:
    """Return a forward pass over one image for each network."""
    network = model.init_model(
        0,
        size=(side, side),
        channels=3,
        patch=(1, 1),
        num_latents=LATENTS,
        latent_width=WIDTH,
        interface_width=WIDTH,
        num_blocks=BLOCKS,
        num_layers=LAYERS,
        num_heads=HEADS,
        cross_heads=HEADS,
    )
    transformer = Transformer(side)
    x, gamma = torch.randn(1, 3, side, side), torch.tensor([0.5])
    return {"transformer": lambda: transformer(x), "RIN": lambda: network(x, gamma)}


@torch.no_grad()
def main() -> None:
    options = timing.parser(__doc__, rounds=3)
    options.add_argument("--plot", type=Path, help="draw the times into this file")
    arguments = options.parse_args()
    rows = []
    times: dict[str, list[float]] = {"transformer": [], "RIN": []}
    for side in SIDES:
        runs = contestants(side)
        cold = ("transformer",) if side == SIDES[-1] else ()
        seconds = timing.in_turns(runs, arguments.rounds, clock=arguments.clock, cold=cold)
        for row in timing.compare(seconds, "transformer"):
            name = row.pop("")
            before = times[name][-1] if times[name] else None
            times[name].append(row["median s"])
            growth = "" if before is None else f"{row['median s'] / before:.2f}"
            rows.append({"": f"{side * side} tokens, {name}", **row, "for 4 x tokens": growth})
    timing.report(rows, {"clock": arguments.clock, **timing.conditions()}, arguments.json)
    if arguments.plot:
        tokens = [side * side for side in SIDES]
        panel = curves.Panel(
            curves=[curves.Curve(label=name, x=tokens, y=ys) for name, ys in times.items()],
            title="a forward pass",
            x_label="tokens",
            y_label="seconds",
            log_x=True,
            log_y=True,
        )
        curves.save(arguments.plot, [panel])


if __name__ == "__main__":
    main()
