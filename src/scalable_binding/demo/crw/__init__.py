"""The contrastive random walk: labels carried through a synthetic clip, and why it works."""

from scalable_binding.demo.crw import confidence, contest, masks, points, video, walks
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage, Story


def sections(stage: Stage) -> list[Section]:
    """Masks, key points, confidence and walks on one synthetic clip; then the user's own video.

    Raises:
        UserError: the weights or the user's video cannot be used, or a file cannot be written.
    """
    stage.say("Drawing a clip, with the truth about every pixel")
    prepared = contest.prepare(stage)
    stage.say(f"Masks, by the {prepared.shown}")
    labeled = {
        name: contest.carry(stage, prepared, name, prepared.scene.masks[0])
        for name in prepared.models
    }
    return [
        masks.show(stage, prepared, labeled),
        points.show(stage, prepared),
        confidence.show(stage, prepared.scene, labeled[prepared.shown]),
        walks.show(stage, prepared),
        video.show(stage, prepared),
        video.how_to(),
    ]


STORY = Story(
    name="crw",
    title="Label one frame, get all the others",
    lead="Masks and key points follow their objects through a video. Nothing is trained on them: "
    "every spot takes its label from the spots of earlier frames that look most alike to an "
    "encoder. Encoders learn from unlabeled videos by the contrastive random walk; the one that "
    "ships has random convolutions, tuned to real videos by the statistics of a few frames.",
    tell=sections,
)
