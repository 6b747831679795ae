"""A synthetic world: scenes of moving objects with exact ground truth.

``render`` gives a scene with its truth, ``frames`` its frames alone and faster, ``SyntheticClips``
endless training clips. A script (see ``motion``) says how objects move; to write one is to make
another kind of scene.
"""

from scalable_binding.data.synthetic.clips import SyntheticClips
from scalable_binding.data.synthetic.config import WorldConfig, evaluation, noiseless, training
from scalable_binding.data.synthetic.painting import frames
from scalable_binding.data.synthetic.scenes import Scene, render
from scalable_binding.data.synthetic.stills import SyntheticImages, stills

__all__ = [
    "Scene",
    "SyntheticClips",
    "SyntheticImages",
    "WorldConfig",
    "evaluation",
    "frames",
    "noiseless",
    "render",
    "stills",
    "training",
]
