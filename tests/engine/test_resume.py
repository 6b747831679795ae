"""Runs that end early, in every way a run can, and go on."""

import os
import random
import signal
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.toy import INTERRUPTED, Points, config, loss, net, start
from scalable_binding import atomic
from scalable_binding.engine.checkpoint import latest_step
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.interruption import Interrupted
from scalable_binding.engine.log import read_log
from scalable_binding.errors import UserError

SETTINGS = {"steps": 150, "micro_batch_size": 4, "save_every": 7, "log_every": 5}


def everything(run: Path) -> dict[str, torch.Tensor]:
    """All tensors that a run leaves behind: averaged weights and the whole state."""
    tensors = {}
    state = run / "state" / f"step-{latest_step(run)}"
    for file in [run / "model.safetensors", *state.rglob("*.safetensors")]:
        tensors |= {f"{file.name}/{name}": t for name, t in load_file(file).items()}
    return tensors


def assert_same_run(run: Path, reference: Path) -> None:
    found, expected = everything(run), everything(reference)
    assert found.keys() == expected.keys()
    differing = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert not differing
    figures = [
        [{k: v for k, v in line.items() if k != "steps_per_second"} for line in read_log(folder)]
        for folder in (run, reference)
    ]
    assert figures[0] == figures[1]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbs."""
    run = tmp_path_factory.mktemp("unbroken")
    fit(net(), loss, Points(), config(**SETTINGS), run)
    return run


def wait_until_beyond(step: int, run: Path, process: BaseProcess) -> None:
    """Return when the process has logged a later step, or has ended."""
    end = time.monotonic() + 60
    while process.is_alive() and max((line["step"] for line in read_log(run)), default=0) <= step:
        assert time.monotonic() < end, "nothing was logged"
        time.sleep(0.002)


def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, unbroken: Path
) -> None:
    moments = random.Random(0)
    for _ in range(10):
        before = latest_step(tmp_path) or 0
        process = start(tmp_path, config(**SETTINGS))
        wait_until_beyond(before, tmp_path, process)
        time.sleep(moments.random() * 0.05)
        process.kill()
        process.join()
    assert latest_step(tmp_path) < 150, "it was never killed in the middle"
    process = start(tmp_path, config(**SETTINGS))
    process.join()
    assert process.exitcode == 0
    assert_same_run(tmp_path, unbroken)


@pytest.mark.parametrize("call", range(0, 24, 3))
def test_cut_off_between_any_two_writes_it_ends_with_the_same_bits(
    call: int, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    calls = iter(range(10**6))
    sync = atomic.sync

    def cut(path: Path) -> None:
        if next(calls) == call:
            raise PowerCut
        sync(path)

    monkeypatch.setattr(atomic, "sync", cut)
    with pytest.raises(PowerCut):
        fit(net(), loss, Points(), config(**SETTINGS), tmp_path)
    monkeypatch.setattr(atomic, "sync", sync)
    fit(net(), loss, Points(), config(**SETTINGS), tmp_path)
    assert_same_run(tmp_path, unbroken)


def test_data_order_with_worker_processes_is_the_same(tmp_path: Path, unbroken: Path) -> None:
    for steps in (31, 150):
        fit(
            net(), loss, Points(), config(**SETTINGS | {"steps": steps, "num_workers": 2}), tmp_path
        )
    found, expected = everything(tmp_path), everything(unbroken)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["adamw", "lamb", "muon"])
def test_other_optimizers_resume_too(name: str, tmp_path: Path) -> None:
    settings = {"optimizer.name": name, "optimizer.weight_decay": 0.1, "schedule.warm_up": 3}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(net(), loss, Points(), config(**settings, steps=9), whole)
    fit(net(), loss, Points(), config(**settings, steps=4), parts)
    fit(net(1), loss, Points(), config(**settings, steps=9), parts)
    found, expected = everything(parts), everything(whole)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run(
    number: signal.Signals, tmp_path: Path, unbroken: Path
) -> None:
    settings = SETTINGS | {"save_every": 1000, "log_every": 1}
    process = start(tmp_path, config(**settings))
    wait_until_beyond(0, tmp_path, process)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == INTERRUPTED
    assert 0 < latest_step(tmp_path) < 150
    fit(net(), loss, Points(), config(**settings), tmp_path)
    found, expected = everything(tmp_path), everything(unbroken)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_interruption_says_where_it_stopped(tmp_path: Path) -> None:
    def stop(step: int, model: torch.nn.Module, run: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM at step 6; saved in") as caught:
        fit(net(), loss, Points(), config(), tmp_path, hooks=[Hook(5, stop)])
    assert (caught.value.step, caught.value.signal) == (6, signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    before = everything(tmp_path)
    model = fit(net(1), loss, Points(), config(), tmp_path)
    after = everything(tmp_path)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(model.head.weight, before["model.safetensors/head.weight"])


def test_a_folder_with_a_run_can_be_refused(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path)
    with pytest.raises(UserError, match="already holds a run of 12 steps"):
        fit(net(), loss, Points(), config(), tmp_path, resume=False)


def test_changed_settings_are_named(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path, record={"walk": {"rate": 0.1}})
    before = (tmp_path / "config.json").read_bytes()
    changed = {"batch_size": 4, "optimizer.lr": 1.0}
    named = "other settings than before: fit.batch_size, fit.optimizer.lr, walk.rate$"
    with pytest.warns(UserWarning, match="is done, and ignores " + named):
        fit(net(), loss, Points(), config(**changed), tmp_path, record={"walk": {"rate": 0.5}})
    assert (tmp_path / "config.json").read_bytes() == before
    longer = config(**changed, steps=13)
    with pytest.warns(UserWarning, match="goes on with " + named):
        fit(net(), loss, Points(), longer, tmp_path, record={"walk": {"rate": 0.5}})
    assert (tmp_path / "config.json").read_bytes() != before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = config(**changed, steps=14, log_every=2)
        fit(net(), loss, Points(), again, tmp_path, record={"walk": {"rate": 0.5}})


def test_settings_are_a_frozen_dataclass() -> None:
    with pytest.raises(UserError, match="micro_batch_size: expected a divisor of batch_size 8"):
        FitConfig(batch_size=8, micro_batch_size=3)
