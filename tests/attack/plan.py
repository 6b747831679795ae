"""The attack: how many attempts of which kind, and what each of them must not do."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch

from attack.attempts import Tally, attempt, files_of, reading
from attack.damage import damage, readers, same
from attack.sessions import kills_of_sessions
from engine.toy import Points, config, loss, net, slow_loss
from scalable_binding import weights
from scalable_binding.cli import main
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import masks
from scalable_binding.engine import checkpoint
from scalable_binding.engine.fit import fit

STEPS = 60


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Attempts of each kind."""

    kills: int
    """Of training, for the engine's loop and for each system's command."""
    output_kills: int
    """Of propagation, sampling and evaluation."""
    flips: int
    """Of bytes, for each kind of file in a run's folder and among shipped weights."""
    inputs: int
    """Damaged files for each reader."""
    commands: int


FULL = Counts(kills=140, output_kills=60, flips=200, inputs=5000, commands=2000)
SUBSET = Counts(kills=6, output_kills=3, flips=20, inputs=150, commands=150)

TRAINING = {
    "crw": ["--preset", "debug", "--set", "picture_every=1000", "--set", "fit.batch_size=2"],
    "rin": ["--preset", "debug"],
    "flow": ["--preset", "debug", "--set", "fit.batch_size=2"],
    "permanence": ["--preset", "debug", "--set", "fit.batch_size=2"],
    "carml": ["--preset", "debug", "--set", "validation.every=0"],
}
TRAINED_STEPS = 6

_LAYOUT = ("JPEGImages", "Annotations")


def scaled(counts: Counts, share: float) -> Counts:
    """The counts times a share, at least one of each."""
    changed = {f.name: max(1, round(getattr(counts, f.name) * share)) for f in fields(counts)}
    return replace(counts, **changed)


def run(folder: Path, counts: Counts, seed: int, *, systems: bool = True) -> Tally:
    """Every kind of attack; ``systems`` also trains the five systems, which takes minutes."""
    tally, draw = Tally(), random.Random(seed)
    damaged_inputs(folder / "inputs", counts.inputs, draw, tally)
    odd_commands(folder / "commands", counts.commands, draw, tally)
    kills_of_the_loop(folder / "loop", counts.kills, draw, tally)
    flips_in_a_run(folder / "flips", counts.flips, draw, tally)
    flips_in_weights(folder / "weights", counts.flips, draw, tally)
    if systems:
        for system, options in TRAINING.items():
            place = folder / f"train-{system}"
            kills_of_training(system, options, place, counts.kills, draw, tally)
        flips_in_rounds(folder / "rounds", counts.flips, draw, tally)
        kills_of_outputs(folder / "outputs", counts.output_kills, draw, tally)
        kills_of_sessions(folder / "session", counts.output_kills, draw, tally)
    return tally


def damaged_inputs(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """Readers read a damaged file or refuse it in one line; a hundred to a process."""
    folder.mkdir(parents=True)
    for kind, (sound, suffix, read) in readers(folder).items():
        for first in range(0, count, 100):
            number = min(100, count - first)
            made = [damage(sound, draw) for _ in range(number)]
            outcome, text = attempt(partial(_read_all, folder, suffix, made, read), limit=120)
            if outcome in ("done", "refused"):
                for _ in range(number):
                    tally.add(f"input: {kind}", "read or refused", "")
            else:
                tally.add(f"input: {kind}", outcome, text[-500:])


def _read_all(folder: Path, suffix: str, made: list[bytes], read: Callable[[Path], object]) -> int:
    for data in made:
        path = folder / f"damaged{suffix}"
        path.write_bytes(data)
        reading(lambda path=path: read(path))  # type: ignore[misc]
    return 0


def odd_commands(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """Command lines of known words and odd values are done, or refused in one line."""
    folder.mkdir(parents=True)
    commands = [
        ["crw", "propagate"], ["crw", "evaluate"], ["rin", "sample"], ["rin", "predict"],
        ["rin", "attend"], ["rin", "count"], ["rin", "evaluate"], ["flow", "estimate"],
        ["flow", "track"], ["flow", "evaluate"], ["permanence", "track"], ["carml", "adapt"],
        ["carml", "finetune"], ["carml", "evaluate"], ["config", "show"], ["config", "presets"],
        ["demo"], ["version"], [],
    ]  # fmt: skip
    options = [
        "--out", "--labels", "--weights", "--num", "--seed", "--size", "--fps", "--device", "--set",
        "--preset", "--config", "--task", "--report", "--json", "--steps", "--classes", "--correct",
        "--overlay", "--points", "--boxes", "--trials", "--help", "--overwrite", "--backward",
    ]  # fmt: skip
    values = [
        "", "-1", "0", "1e-300", "nan", "inf", "9" * 30, "-" * 3, "\udcff", "a\0b",
        "/proc/self/mem",
        "/dev/null", "/dev/zero", "x" * 300, "../..", "meta", "cuda:99", "synthetic", "digits",
        "fit.steps=9e99", "a.b.c=1", "=", "[1,2", "{}", "0..9", "goal=1,1", "crw", "rin", "none",
    ]  # fmt: skip
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        tokens = list(draw.choice(commands))
        tokens += [draw.choice(values) for _ in range(draw.randrange(3))]
        for _ in range(draw.randrange(1, 4)):
            tokens += [draw.choice(options), draw.choice(values)]
        outcome, text = attempt(partial(_command, place, tokens), limit=120)
        tally.add("command line", outcome, f"{tokens}: {text[-500:]}")
        shutil.rmtree(place)


def _command(place: Path, tokens: list[str]) -> int:
    import os

    os.chdir(place)
    return main(tokens)


def kills_of_the_loop(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """A run that is killed again and again ends with the bits of one that never was."""
    settings = config(steps=STEPS, save_every=7, log_every=5)
    fit(net(), loss, Points(), settings, folder / "whole")

    def go(place: Path) -> int:
        fit(net(), slow_loss, Points(), settings, place)
        return 0

    _kill_and_compare("kill: loop", partial(go), folder, count, draw, tally, span=0.4)


def kills_of_training(
    system: str, options: list[str], folder: Path, count: int, draw: random.Random, tally: Tally
) -> None:
    """The same for the training command of a system."""
    tokens = [system, "train", *options, "--set", f"fit.steps={TRAINED_STEPS}"]
    tokens += ["--set", "fit.save_every=1", "--set", "fit.progress=false"]

    def go(place: Path) -> int:
        return main([*tokens, "--run", str(place)])

    outcome, text = attempt(partial(go, folder / "whole"), limit=300)
    if outcome != "done":
        tally.add(f"kill: {system}", "traceback", text[-800:])
        return
    _kill_and_compare(f"kill: {system}", go, folder, count, draw, tally, span=4.0)


def _kill_and_compare(
    kind: str,
    go: Callable[[Path], int],
    folder: Path,
    count: int,
    draw: random.Random,
    tally: Tally,
    *,
    span: float,
) -> None:
    killed = folder / "killed"
    for _ in range(count):
        outcome, text = attempt(partial(go, killed), kill_after=draw.random() * span)
        tally.add(kind, outcome, text[-500:])
        if outcome == "done":
            break
    outcome, text = attempt(partial(go, killed), limit=300)
    tally.add(kind, outcome, text[-500:])
    if outcome == "done":
        equal = same(final_state(killed), final_state(folder / "whole"))
        tally.add(kind, "same bits" if equal else "silent difference", str(killed))


def final_state(run_folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's last checkpoint and of its weights."""
    last = run_folder / checkpoint.STATE / f"step-{checkpoint.latest_step(run_folder)}"
    found = {}
    for file in (run_folder / checkpoint.WEIGHTS, *sorted(last.glob("*.safetensors"))):
        found |= {f"{file.name}/{n}": t for n, t in checkpoint.read_tensors(file).items()}
    return found


def flips_in_a_run(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """A byte flipped in any file of a run's folder: the same bits in the end, or one line."""
    settings = config(steps=20, save_every=4, log_every=1)
    fit(net(), loss, Points(), settings, folder / "part")
    longer = config(steps=24, save_every=4, log_every=1)
    shutil.copytree(folder / "part", folder / "whole")
    fit(net(), loss, Points(), longer, folder / "whole")
    expected = final_state(folder / "whole")
    kinds = {"config.json": "config.json", "log.jsonl": "log.jsonl", "model.safetensors": "weights"}
    for name in sorted(files_of(folder / "part")):
        kind = f"flip: {kinds.get(name, 'state')}"
        for _ in range(max(1, count // 4)):
            place = folder / "flipped"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(folder / "part", place)
            _flip(place / name, draw)
            outcome, text = attempt(partial(_resume, place, longer))
            tally.add(kind, outcome, f"{name}: {text[-500:]}")
            if outcome == "done":
                equal = same(final_state(place), expected)
                tally.add(kind, "same bits" if equal else "silent difference", name)


def _resume(place: Path, settings: object) -> int:
    return reading(lambda: fit(net(), loss, Points(), settings, place))  # type: ignore[arg-type]


def flips_in_rounds(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """A byte flipped in the files of CARML's rounds: the same bits in the end, or one line."""
    tokens = ["carml", "train", *TRAINING["carml"], "--set", "fit.progress=false"]
    tokens += ["--set", "fit.save_every=1"]

    def go(place: Path, steps: int) -> int:
        return main([*tokens, "--set", f"fit.steps={steps}", "--run", str(place)])

    outcome, text = attempt(partial(go, folder / "part", TRAINED_STEPS), limit=300)
    tally.add("flip: rounds", outcome, text[-500:])
    shutil.copytree(folder / "part", folder / "whole")
    outcome, text = attempt(partial(go, folder / "whole", TRAINED_STEPS + 1), limit=300)
    tally.add("flip: rounds", outcome, text[-500:])
    expected = final_state(folder / "whole")
    for name in sorted(files_of(folder / "part" / "rounds")):
        for _ in range(max(1, count // 10)):
            place = folder / "flipped"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(folder / "part", place)
            _flip(place / "rounds" / name, draw)
            outcome, text = attempt(partial(go, place, TRAINED_STEPS + 1), limit=300)
            tally.add("flip: rounds", outcome, f"{name}: {text[-500:]}")
            if outcome == "done":
                equal = same(final_state(place), expected)
                tally.add("flip: rounds", "same bits" if equal else "silent difference", name)
            report = ["carml", "evaluate", str(place), "--report", str(folder / "report")]
            outcome, text = attempt(partial(main, [*report, "--tasks", "2"]), limit=300)
            tally.add("flip: rounds", outcome, f"{name}, report: {text[-500:]}")


def flips_in_weights(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """A byte flipped in any file of a shipped model is found when the file is read."""
    for known in weights.SHIPPED.values():
        for name in known.values():
            source = weights.ROOT / name
            for file in ("model.safetensors", "config.json"):
                if not (source / file).is_file():
                    continue
                for _ in range(max(1, count // 10)):
                    place = folder / name
                    shutil.rmtree(place, ignore_errors=True)
                    shutil.copytree(source, place)
                    _flip(place / file, draw)
                    read = checkpoint.read_config if "json" in file else checkpoint.read_tensors
                    outcome, text = attempt(partial(reading, partial(read, place / file)))
                    found = "silent difference" if outcome == "done" else outcome
                    tally.add(f"flip: shipped {file}", found, f"{name}: {text[-300:]}")


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _davis(folder: Path, still: torch.Tensor, mask: torch.Tensor) -> Path:
    """Two short sequences in the official layout."""
    for name in ("one", "two"):
        frames, annotations = (folder / "DAVIS" / kind / "480p" / name for kind in _LAYOUT)
        frames.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for t in range(6):
            images.write(frames / f"{t:05}.png", still.roll(t, 2))
            masks.write(annotations / f"{t:05}.png", mask.roll(t, 1))
    return folder / "DAVIS"


def kills_of_outputs(folder: Path, count: int, draw: random.Random, tally: Tally) -> None:
    """Killed while results are written: each file there is whole; a rerun ends well."""
    folder.mkdir(parents=True)
    still = (torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0)) * 255).byte()
    videos.write(folder / "clip", torch.stack([still.roll(t, 2) for t in range(8)]), fps=8)
    mask = torch.zeros(48, 64, dtype=torch.uint8)
    mask[10:30, 10:30] = 1
    masks.write(folder / "mask.png", mask)
    clip = str(folder / "clip")
    jobs = {
        "propagate": ["crw", "propagate", clip, "--labels", str(folder / "mask.png")],
        "estimate": ["flow", "estimate", clip],
        "track": ["permanence", "track", "synthetic"],
        "evaluate": ["crw", "evaluate", "davis", str(_davis(folder, still, mask))],
        "sample": ["rin", "sample", "digits", "--num", "4", "--steps", "4"],
    }
    for name, tokens in jobs.items():
        whole, killed = folder / f"{name}-whole", folder / f"{name}-killed"
        outcome, text = attempt(lambda t=tokens, w=whole: main([*t, "--out", str(w)]), limit=300)  # type: ignore[misc]
        tally.add(f"kill: {name}", outcome, text[-500:])
        expected = files_of(whole)
        again = [*tokens, "--out", str(killed), "--overwrite"]
        for _ in range(count):
            outcome, text = attempt(lambda t=again: main(t), kill_after=draw.random() * 4)  # type: ignore[misc]
            tally.add(f"kill: {name}", outcome, text[-500:])
            torn = [
                file
                for file, data in (files_of(killed) if killed.is_dir() else {}).items()
                if file in expected and data != expected[file] and not file.endswith(".mp4")
            ]
            if torn:
                tally.add(f"kill: {name}", "silent difference", ", ".join(torn))
        outcome, text = attempt(lambda t=again: main(t), limit=300)  # type: ignore[misc]
        tally.add(f"kill: {name}", outcome, text[-500:])
