"""The real clip that ships: small, sound, and with a mask that fits its first frame."""

from importlib import resources

import scalable_binding.demo
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import masks

CLIP = resources.files(scalable_binding.demo) / "clip"


def test_the_clip_is_small_and_its_mask_fits(recwarn):
    with resources.as_file(CLIP) as folder:
        assert (folder / "juggling.mp4").stat().st_size < 400_000
        frames = videos.read(folder / "juggling.mp4")
        ids = masks.read(folder / "juggling.png")
        assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")
    assert frames.shape == (48, 3, *ids.shape)
    assert ids.unique().tolist() == [0, 1, 2]
    man, ball = (frames[0][:, ids == number].float().mean() for number in (1, 2))
    assert man < 90 < 180 < ball
    assert not recwarn.list
