"""One command at a time on a folder; the lock ends with its process."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.toy import Points, config, loss, net
from scalable_binding import locks
from scalable_binding.cli import main
from scalable_binding.engine.fit import fit
from scalable_binding.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from scalable_binding import locks
locks.hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        locks.exclusive(tmp_path),
        pytest.raises(UserError, match="is in use by another command; wait"),
    ):
        fit(net(), loss, Points(), config(), tmp_path)
    assert not (tmp_path / "log.jsonl").exists()
    fit(net(), loss, Points(), config(), tmp_path)


def test_the_lock_ends_with_a_process_that_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rin", "sample", "digits", "--num", "1", "--steps", "1", "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert main(command) == 2
        assert "is in use by another command" in capsys.readouterr().err
        process.kill()
    assert main(command) == 0
    assert main([*command, "--overwrite"]) == 0
