"""The contrastive random walk: labels carried through a synthetic clip, and why it works."""

from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.crw import confidence, contest, masks, points, video, walks
from scalable_binding.report import Section


def sections(context: Context) -> list[Section]:
    """Masks, key points, confidence and walks on one synthetic clip; then the user's own video.

    Raises:
        UserError: the weights or the user's video cannot be used, or a file cannot be written.
    """
    context.say("Drawing a clip, with the truth about every pixel")
    prepared = contest.prepare(context)
    context.say(f"Masks, by the {prepared.shown}")
    labeled = {
        name: contest.carry(context, prepared, name, prepared.scene.masks[0])
        for name in prepared.models
    }
    return [
        masks.show(context, prepared, labeled),
        points.show(context, prepared),
        confidence.show(context, prepared.scene, labeled[prepared.shown]),
        walks.show(context, prepared),
        video.show(context, prepared),
        video.how_to(),
    ]


CHAPTER = DemoChapter(
    name="crw",
    title="Label one frame, get all the others",
    lead="Masks and key points follow their objects through a video. Nothing is trained on them: "
    "every spot takes its label from the spots of earlier frames that look most alike to an "
    "encoder. Encoders learn from unlabeled videos by the contrastive random walk; the one that "
    "ships has random convolutions, tuned to real videos by the statistics of a few frames.",
    run=sections,
)
