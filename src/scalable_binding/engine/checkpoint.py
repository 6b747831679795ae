"""Weights for inference, and the state that resumes a run; pickle is never trusted.

A run folder holds ``model.safetensors`` (averaged weights) and ``state/step-N/`` (everything that
resume needs, as torch's distributed checkpoint in safetensors files, one a rank, which loads at
any number of ranks). Both appear at once or not at all. Weights are written before the state, so
that a finished state never stands beside older weights. Weights carry a checksum in their header,
a state's files have theirs in ``SHA256SUMS``; the last two states are kept, so that a run whose
newest state is damaged goes on from the one before.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scalable_binding import checksums, files
from scalable_binding.atomic import explain_write_errors, publish_folder, write_bytes
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.ema import named_tensors
from scalable_binding.errors import UserError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
STATE = "state"
MAX_BYTES = 32 * 2**30
KEPT_STATES = 2
_CHECKSUM = "sha256"

Model = TypeVar("Model", bound=nn.Module)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, step: int) -> None:
    """Write tensors to a safetensors file, at once or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"format": "pt", "step": str(step), _CHECKSUM: _checksum(content)}
    data = safetensors.torch.save(content, about)
    write_bytes(path, data)


def read_tensors(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """The named tensors of a ``.safetensors`` file, or of a torch file read without its code.

    Torch files may hold the tensors themselves or a mapping that has them under "state_dict" or
    "model"; anything beside them is dropped.

    Raises:
        UserError: no such file, too large, corrupt, other than its checksum says, or a pickle that
            would run code.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path}", expected="a file", got="nothing of that name")
    size = path.stat().st_size
    if size > max_bytes:
        raise UserError(
            f"checkpoint {path}", expected=f"at most {max_bytes} bytes", got=f"{size} bytes"
        )
    checksums.verify_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch_file(path, max_bytes)


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Copy tensors into a model that has exactly these names and shapes.

    Raises:
        UserError: another architecture; names the first tensor that is missing, left over or of
            another shape.
    """
    targets = named_tensors(model)
    aliases = model.state_dict().keys() - targets.keys()
    given = {name: tensor for name, tensor in tensors.items() if name not in aliases}
    _check_same(_shapes(targets), _shapes(given), source)
    for name, target in targets.items():
        target.copy_(given[name])


def load_model(model: nn.Module, path: Path) -> None:
    """Load a model's weights from a checkpoint file or from a run folder.

    Raises:
        UserError: the file is missing, corrupt, unsafe, or of another architecture.
    """
    file = path / WEIGHTS if path.is_dir() else path
    load_tensors(model, read_tensors(file), file)


def restore(
    make: Callable[[], Model], tensors: Mapping[str, Tensor], file: Path, noun: str
) -> Model:
    """The model that ``make`` builds, with these tensors, in evaluation mode.

    One without memory is built first, so that what a foreign ``config.json`` asks for is compared
    with the tensors before any memory is taken.

    Raises:
        UserError: nothing can be built so (``config.json`` beside ``file`` does not describe
            ``noun``), or the tensors are of another architecture.
    """
    try:
        with torch.device("meta"), _WithoutRandomNumbers():
            outline = make()
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        line = f"{file.with_name(CONFIG)} does not describe {noun} ({error})"
        raise UserError(line) from error
    load_tensors(outline, tensors, file)
    model = make()
    load_tensors(model, tensors, file)
    return model.eval()


class _WithoutRandomNumbers(TorchFunctionMode):
    """A scope in which weights without memory are not drawn: on "meta" that imports sympy."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "trunc_normal_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def read_config(path: Path) -> Any:
    """What a ``config.json`` holds: a mapping, unless somebody else wrote it.

    Raises:
        UserError: it cannot be read, or differs from its checksum, where it has one.
    """
    checksums.verify_file(path)
    return files.read_json(path)


def latest_step(run: Path) -> int | None:
    """The step of the newest complete state in a run folder; None when there is none."""
    return max(_steps(run), default=None)


def sound_step(run: Path, ranks: DistributedContext) -> int | None:
    """The step of the newest state that is as it was written; None when there is no state.

    The first rank reads the files, and warns of each state that is damaged.

    Raises:
        UserError: there are states, and all are damaged.
    """
    found, reason = -1, ""
    for step in sorted(_steps(run), reverse=True) if ranks.is_first else ():
        try:
            checksums.verify_folder(run / STATE / f"step-{step}")
        except UserError as error:
            reason = str(error).partition(";")[0]
            warnings.warn(f"{reason}; the checkpoint before it is taken, if any", stacklevel=2)
        else:
            found = step
            break
    found = ranks.largest(found)
    if found < 0 and latest_step(run) is not None:
        fix = "start again in another folder"
        raise UserError(reason or f"every state in {run} is damaged", fix=fix)
    return None if found < 0 else found


def _steps(run: Path) -> list[int]:
    names = [re.fullmatch(r"step-(\d{1,18})", folder.name) for folder in (run / STATE).glob("*")]
    return [int(name[1]) for name in names if name]


def save_state(state: dict[str, Tensor], run: Path, step: int, ranks: DistributedContext) -> None:
    """Write the whole training state, each rank its part; keep it and the one before it.

    Raises:
        UserError: the folder cannot be written.
    """
    # Here and below, since it brings sympy and dynamo, which inference has no use for.
    from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    folder = run / STATE
    temporary = folder / f".step-{step}"
    with explain_write_errors(folder):
        if ranks.is_first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        ranks.wait()
        with _quiet(), _written_by_torch():
            save(
                {name: tensor.contiguous() for name, tensor in state.items()},
                storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
                planner=DefaultSavePlanner(dedup_save_to_lowest_rank=True),
                no_dist=ranks.size == 1,
            )
    ranks.wait()
    if ranks.is_first:
        checksums.write_checksums(temporary)
        publish_folder(temporary, folder / f"step-{step}")
        # Later ones are of a run that was taken up from an older state.
        before = sorted(other for other in _steps(run) if other < step)
        kept = {f"step-{step}", *(f"step-{other}" for other in before[1 - KEPT_STATES :])}
        for other in folder.iterdir():
            if other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)


def load_state(state: dict[str, Tensor], run: Path, step: int, ranks: DistributedContext) -> None:
    """Fill the tensors of a training state from what any number of ranks saved.

    Raises:
        UserError: corrupt files, or the state of another architecture or optimizer.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    folder = run / STATE / f"step-{step}"
    with _clear_errors(folder), _quiet():
        reader = HuggingFaceStorageReader(str(folder))
        found = reader.read_metadata().state_dict_metadata
        shapes = {
            n: tuple(m.size) for n, m in found.items() if isinstance(m, TensorStorageMetadata)
        }
        _check_same(_shapes(state), shapes, folder)
        load(state, storage_reader=reader, no_dist=ranks.size == 1)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, compared with the checksum in its header, if any."""
    files.check_regular(path)
    with _clear_errors(path), safetensors.safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = about.get(_CHECKSUM)
    if expected is not None and _checksum(tensors) != expected:
        fix = "get it again, or take an older checkpoint"
        raise UserError(f"checkpoint {path} is damaged: it differs from its checksum", fix=fix)
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and values, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _read_torch_file(path: Path, max_bytes: int) -> dict[str, Tensor]:
    files.check_regular(path)
    with _clear_errors(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > max_bytes:
                got = f"{unpacked} bytes unpacked"
                raise UserError(
                    f"checkpoint {path}", expected=f"at most {max_bytes} bytes", got=got
                )
        # Research code likes to save its parsed arguments too; a Namespace is plain data. Torch
        # warns of protocol numbers in what it then refuses or reads all the same.
        with (
            torch.serialization.safe_globals([argparse.Namespace]),
            warnings.catch_warnings(action="ignore"),
        ):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise UserError(f"checkpoint {path}", expected="a mapping of tensors", got=kind)
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _check_same(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    source: Path | str,
) -> None:
    """Compare names and shapes; the first that differs makes the error."""
    what = f"{source} is of another architecture"
    for name, shape in expected.items():
        if name not in found:
            raise UserError(what, expected=f"tensor {name!r}", got="none of that name")
        if found[name] != shape:
            raise UserError(f"{what}, {name}", expected=f"shape {shape}", got=str(found[name]))
    for name in found:
        if name not in expected:
            raise UserError(what, expected="no other tensors", got=f"unexpected {name!r}")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """A scope in which what goes wrong with a file's content becomes one line."""
    try:
        yield
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"checkpoint {path} holds objects that could run code, or is corrupt",
            fix="get the weights as safetensors, or save only the state_dict",
        ) from error
    except Exception as error:
        # Hostile bytes make the parsers of torch and safetensors raise errors of any kind.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {path} is corrupt or cannot be read ({reason})") from error


@contextmanager
def _written_by_torch() -> Iterator[None]:
    """A scope in which a failure to write comes out as itself, not wrapped by torch."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        raise next((c for c in causes if isinstance(c, OSError)), error) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """A scope without torch's remark that a checkpoint of one process needs no others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
