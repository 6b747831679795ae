"""Writes the model card (README.md) of every shipped model from its card.json.

python tools/model_cards.py

Run it after a model was shipped; a test checks that the cards are up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parents[1] / "src" / "scalable_binding" / "weights"

ABOUT = {
    "carml-maze": (
        "CARML agent for the 2-D maze",
        'policy = carml.inference.load("maze")',
        "Adapts to goals in the bundled maze within four episodes.",
        "Knows this maze only: other environments need an agent of their own.",
    ),
    "carml-room": (
        "CARML agent for the pixel room",
        'policy = carml.inference.load("room")',
        "Adapts to objects of the bundled pixel room within four episodes.",
        "Knows this room only; reaches objects less often than an agent trained on such tasks: see "
        "benchmarks/carml/README.md.",
    ),
    "crw": (
        "Encoder for label propagation",
        'encoder = crw.inference.load("shipped")',
        "Propagates masks, parts and key points from one labeled frame of a video.",
        "Not a segmentation model: it needs a labeled frame, and confuses objects that look alike.",
    ),
    "features-digits": (
        "Feature network for 8 x 8 digits",
        "sbind rin evaluate digits",
        "Compares samples of digits by Frechet distance and class accuracy.",
        "Scores with these features are not comparable with published ones.",
    ),
    "features-moving-digits": (
        "Feature network for videos of moving digits",
        "sbind rin evaluate moving-digits",
        "Compares predicted videos of moving digits by Frechet distance.",
        "Scores with these features are not comparable with published ones.",
    ),
    "flow": (
        "Optical flow by the multiscale contrastive random walk",
        'network = flow.inference.load("shipped")',
        "Dense optical flow and point tracks between frames of a video.",
        "On slow motion of rendered scenes OpenCV's DIS is nearer: benchmarks/flow/README.md.",
    ),
    "permanence": (
        "Tracker of hidden objects",
        'network = permanence.inference.load("shipped")',
        "Demonstrates the random walk along memory on small synthetic clips.",
        "Trained on synthetic clips only; not meant for real videos.",
    ),
    "rin-digits": (
        "RIN for 8 x 8 digits",
        'network = rin.inference.load("digits")',
        "Class-conditional samples of digits.",
        "A demonstration of the architecture at the smallest size.",
    ),
    "rin-moving-digits": (
        "RIN that predicts moving digits",
        'network = rin.inference.load("moving-digits")',
        "Predicts eight frames of moving digits from four.",
        "Knows gray digits on black only; overlapping digits and late frames blur.",
    ),
}
"""Title, how to load it, what it is for, and its limits, by folder."""


def render(name: str, card: dict[str, Any]) -> str:
    """The model card in Markdown, with the metadata block that the hub reads."""
    title, usage, purpose, limits = ABOUT[name]
    language = "python" if "=" in usage else ""
    rows = [
        ("training data", card["data"]),
        ("license", card["license"]),
        ("command", f"`{card['command']}`"),
        ("commit", card["commit"]),
        *(
            (key, card[key])
            for key in ("steps", "cpu_seconds", "processor", "torch")
            if key in card
        ),
    ]
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: scalable-binding",
        "---",
        "",
        f"# {title}",
        "",
        purpose,
        "",
        f"```{language}",
        usage,
        "```",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key.replace('_', ' ')} | {value} |" for key, value in rows),
        "",
        "## Scores",
        "",
        *_scores(card.get("score", {})),
        "",
        "## Limits",
        "",
        limits,
        *(["", f"Note: {card['note']}."] if "note" in card else []),
    ]
    return "\n".join(lines) + "\n"


def _scores(score: Any) -> list[str]:
    if not isinstance(score, dict):
        return [str(score)]
    flat = {
        f"{key}, {inner}" if inner else key: value
        for key, found in score.items()
        for inner, value in (found.items() if isinstance(found, dict) else [("", found)])
    }
    rows = (
        f"| {key} | {value:.4g} |" if isinstance(value, float) else f"| {key} | {value} |"
        for key, value in flat.items()
    )
    return ["| score | value |", "|---|---|", *rows]


def main() -> None:
    """Write the cards of all shipped models."""
    for path in sorted(WEIGHTS.glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        path.with_name("README.md").write_text(render(path.parent.name, card), encoding="utf-8")


if __name__ == "__main__":
    main()
