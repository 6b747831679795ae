"""What the tests of whole commands share: a clip on disk."""

from pathlib import Path

import pytest

from cli import clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of ``cli.clip`` in several guises, and its labels."""
    made = tmp_path_factory.mktemp("video")
    clip.write(made)
    return made
