"""Inpainting from files: what is given stays, what is white is filled in, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rin import untrained
from scalable_binding.cli import main
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError
from scalable_binding.rin import inpainting
from scalable_binding.rin.sampling_config import SamplingConfig

FEW = SamplingConfig(steps=3, batch_size=2)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A picture, and a mask whose left half is white."""
    picture = (torch.arange(64).view(1, 8, 8) * 3).expand(3, -1, -1).byte()
    images.write(tmp_path / "picture.png", picture)
    mask = torch.zeros(3, 8, 8, dtype=torch.uint8)
    mask[..., :4] = 255
    images.write(tmp_path / "mask.png", mask)
    return tmp_path / "picture.png", tmp_path / "mask.png"


def test_what_is_not_white_stays(files: tuple[Path, Path]) -> None:
    network = untrained.images()
    known = inpainting.read_known(network, *files)
    filled = inpainting.fill_in(network, known, 3, FEW, classes=[1])
    assert filled.shape == (3, 1, 8, 8)
    assert (filled[..., 4:] == known.pictures[..., 4:]).all()
    assert (filled[..., :4] != known.pictures[..., :4]).any()
    assert not torch.equal(filled[0], filled[1])


def test_one_mask_serves_for_every_frame(files: tuple[Path, Path], tmp_path: Path) -> None:
    network = untrained.videos(context=0)
    for number in range(6):
        images.write(tmp_path / "frames" / f"{number}.png", images.read(files[0]))
    known = inpainting.read_known(network, tmp_path / "frames", files[1])
    assert known.mask.shape == known.pictures.shape == (1, 1, 6, 8, 8)
    results = inpainting.write_filled(network, known, tmp_path, 1, FEW, None, "gif")
    assert results["filled in"] == 0.5 and (tmp_path / "filled.gif").is_file()


def test_the_command_writes_each_sample_and_all_of_them(files: tuple[Path, Path]) -> None:
    folder = files[0].parent
    run, out = untrained.save(untrained.images(), folder / "run"), folder / "out"
    more = ["--out", out, "--num", 2, "--steps", 2, "--classes", 3, "--device", "cpu"]
    assert main(["rin", "inpaint", *map(str, [run, *files, *more])]) == 0
    assert {path.name for path in out.iterdir()} == {"filled-1.png", "filled-2.png", "filled.png"}


def test_files_that_do_not_fit_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    network = untrained.images()
    images.write(tmp_path / "large.png", torch.zeros(3, 9, 9, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"mask .*large.png: expected 8 x 8.*got 9 x 9"):
        inpainting.read_known(network, files[0], tmp_path / "large.png")
    images.write(tmp_path / "black.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="expected white pixels to fill in"):
        inpainting.read_known(network, files[0], tmp_path / "black.png")
    with pytest.raises(UserError, match="use 'sbind rin predict'"):
        inpainting.read_known(untrained.videos(), *files)
