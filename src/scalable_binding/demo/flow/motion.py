"""The flow of a synthetic clip, in colors, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.frames import images, videos
from scalable_binding.data.synthetic import Scene, evaluation, render
from scalable_binding.demo.config import DemoConfig
from scalable_binding.demo.context import Context
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.flow import model
from scalable_binding.flow.inference import estimate_video
from scalable_binding.flow.model import FlowNet
from scalable_binding.metrics import flow as metrics
from scalable_binding.plots import flow as drawn
from scalable_binding.report import Section

FPS = 8
"""Frames a second at which the clip is played."""

_LEGEND = 48


def draw_scene(config: DemoConfig) -> Scene:
    """A clip of the seed, of textures that no network that ships was trained on."""
    size = config.flow
    world = evaluation(height=size.height, width=size.width, num_frames=size.num_frames)
    return render(replace(world, time_step=2.0), config.seed)


def show(context: Context, scene: Scene, network: FlowNet) -> Section:
    """A picture and a video of the flow, and its error beside those of trivial ways."""
    context.say("Optical flow")
    fresh = model.draw(context.config.seed, **network.arguments).eval()
    total = len(scene.flow)
    ways = {
        "this network": list(context.track(_flows(scene, network), "flow", total)),
        "the same, untrained": list(_flows(scene, fresh)),
        "no motion": [torch.zeros_like(one) for one in scene.flow],
    }
    scores = {name: _score(scene, flows) for name, flows in ways.items()}
    panels = list(_panels(scene, ways["this network"]))
    picture, clip = context.out / "flow.jpg", context.out / "flow.mp4"
    images.write(picture, panels[total // 2])
    videos.write(clip, panels, fps=FPS)
    return Section(
        name="flow",
        title="Optical flow",
        blocks=[
            report.paragraph(
                "Hue is the direction of motion, saturation its length; the disc is the key. The "
                "clip is rendered, so its true flow is known."
            ),
            report.video(clip, "Frame, estimated flow, occluded pixels (dark) and true flow."),
            report.columns(
                [_table(scores), report.pictures([(picture, "One frame of the video.")])]
            ),
        ],
        scores=scores,
    )


def _flows(scene: Scene, network: FlowNet) -> Iterator[Float[Tensor, "2 h w"]]:
    return (found.flow for found in estimate_video(scene.frames, network))


def _score(scene: Scene, flows: Sequence[Float[Tensor, "2 h w"]]) -> dict[str, float]:
    pairs = list(zip(flows, scene.flow, scene.flow_valid, strict=True))
    error = torch.stack([(found - truth).norm(dim=0) for found, truth, _ in pairs])
    tallies = [metrics.tally(found, truth, None, seen) for found, truth, seen in pairs]
    shares = {f"within {reach} px": float((error < reach).float().mean()) for reach in (1, 3)}
    return {**shares, "EPE": metrics.pooled(tallies)["epe"]}


def _table(scores: Mapping[str, Mapping[str, float]]) -> str:
    errors = ", ".join(f"{name} {score['EPE']:.2f}" for name, score in scores.items())
    heading = [name for name in next(iter(scores.values())) if name != "EPE"]
    return report.table(
        ["", *heading],
        [(name, [score[column] for column in heading]) for name, score in scores.items()],
        "Share of pixels whose flow error is below 1 or 3 pixels. Mean end-point error (EPE) in "
        f"pixels: {errors}.",
        best_of="column",
    )


def _panels(
    scene: Scene, flows: Sequence[Float[Tensor, "2 h w"]]
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    largest = float(scene.flow.norm(dim=1).quantile(0.99)) if scene.flow.numel() < 2**24 else 8.0
    legend = drawn.legend(_LEGEND)
    for frame, found, truth, seen in zip(
        scene.frames[:-1], flows, scene.flow, scene.flow_valid, strict=True
    ):
        key = titled(drawn.draw(truth, largest), "truth")
        key[:, -_LEGEND:, -_LEGEND:] = legend
        hidden = frame.float() * (0.3 + 0.7 * seen)
        yield tiled(
            [
                titled(frame, "frame"),
                titled(drawn.draw(found, largest), "estimate"),
                titled(hidden.byte(), "occluded next: dark"),
                key,
            ]
        )
