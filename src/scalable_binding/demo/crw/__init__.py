"""The contrastive random walk: labels carried through a synthetic clip, and why it works."""

from scalable_binding.demo.crw import confidence, contest, masks, points, walks
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage


def sections(stage: Stage) -> list[Section]:
    """Masks, key points, confidence and walks on one synthetic clip.

    Raises:
        UserError: the weights cannot be loaded, or a file cannot be written.
    """
    stage.say("Drawing a clip, with the truth about every pixel")
    prepared = contest.prepare(stage)
    stage.say("Masks")
    labelled = {
        name: contest.carry(stage, prepared, name, prepared.scene.masks[0])
        for name in prepared.models
    }
    return [
        masks.show(stage, prepared, labelled),
        points.show(stage, prepared),
        confidence.show(stage, prepared.scene, labelled[prepared.shown]),
        walks.show(stage, prepared),
    ]
