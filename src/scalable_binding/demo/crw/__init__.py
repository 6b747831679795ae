"""The contrastive random walk: labels carried through real and synthetic clips."""

from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.crw import confidence, contest, features, masks, points, video, walks
from scalable_binding.report import Section


def sections(context: Context) -> list[Section]:
    """A real clip, the user's own video, then masks, points and walks scored on a synthetic clip.

    Raises:
        UserError: the weights or the user's video cannot be used, or a file cannot be written.
    """
    prepared = contest.prepare(context)
    real = [video.bundled(context, prepared)]
    if context.config.crw.video is not None:
        real.append(video.own(context, prepared))
    if contest.choose_weights(context.config.crw.weights) == "shipped":
        real.append(features.show(context))
    context.say(f"Masks of a synthetic clip, by the {prepared.shown}")
    labeled = {
        name: contest.carry(context, prepared, name, prepared.scene.masks[0])
        for name in prepared.models
    }
    return [
        *real,
        masks.show(context, prepared, labeled),
        points.show(context, prepared),
        confidence.show(context, prepared.scene, labeled[prepared.shown]),
        walks.show(context, prepared),
        video.how_to(),
    ]


CHAPTER = DemoChapter(
    name="crw",
    title="Label one frame, get all the others",
    lead="Masks and key points follow their objects through a video. Nothing is trained on that "
    "video: each cell of a frame copies the labels of the most similar cells in earlier frames. "
    "Similarity comes from an encoder trained on unlabeled video by the contrastive random walk.",
    run=sections,
)
