"""The command line, ``sbind``: every command, and what the program's exit codes mean.

Exit codes: 0 done, 2 what the user gave cannot be used (one line on stderr says why), 1 a bug of
ours (a traceback and a line that says so), 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence

from scalable_binding import locks
from scalable_binding.errors import UserError

_USERS_ERRNOS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}


def main(tokens: Sequence[str] | None = None) -> int:
    """The exit code of the command that ``tokens`` (default: the program's arguments) spell."""
    # Read when torch loads. Idle OpenMP threads that spin for long slow small steps down a
    # hundredfold on a busy machine; those that never spin halve their speed on a quiet one.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    warnings.formatwarning = _format_warning
    from scalable_binding.cli.commands import run

    try:
        run(sys.argv[1:] if tokens is None else list(tokens))
        sys.stdout.flush()
    except UserError as error:
        return _fail(str(error), code=2)
    except KeyboardInterrupt as interrupt:
        return _fail(
            f"interrupted; {interrupt.args[0] if interrupt.args else 'nothing was kept'}", code=130
        )
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in _USERS_ERRNOS:
            return _report_bug()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}", code=2)
    except MemoryError as error:
        return _fail(f"not enough memory: {error or 'a size is too large'}", code=2)
    except Exception as error:  # noqa: BLE001  (whatever is left is a bug of ours)
        return _end_of_run(error) or _out_of_memory(error) or _report_bug()
    finally:
        locks.release()
    return 0


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as the user reads it: one line, without the place in our code."""
    return f"sbind: warning: {message}\n"


def _fail(line: str, *, code: int) -> int:
    print(f"sbind: {line}", file=sys.stderr)
    return code


def _end_of_run(error: Exception) -> int | None:
    """The exit code when the error is a training run that saved its state and stopped."""
    from scalable_binding.engine.interruption import Interrupted

    return _fail(str(error), code=128 + error.signal) if isinstance(error, Interrupted) else None


def _out_of_memory(error: Exception) -> int | None:
    """The exit code when torch refused to allocate, which happens before memory is taken."""
    found = re.search(r"tried to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
    if not isinstance(error, RuntimeError) or found is None:
        return None
    amount = found[1]
    if amount.removesuffix(" bytes").isdecimal():
        amount = f"{int(amount.removesuffix(' bytes')) / 2**30:.1f} GiB"
    return _fail(f"not enough memory: this needs {amount} at once; choose smaller sizes", code=2)


def _report_bug() -> int:
    from importlib.metadata import version

    traceback.print_exc()
    name = "scalable-binding"
    return _fail(f"this is a bug in {name} {version(name)}; please report the lines above", code=1)
