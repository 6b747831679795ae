import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.toy import Points, config, loss, net
from scalable_binding.engine import checkpoint, log
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.engine.log import read_log
from scalable_binding.errors import UserError


def quiet_net() -> nn.Module:
    """A network in which examples do not influence one another, and nothing is drawn."""
    model = net(norm="layer")
    for block in model.blocks:
        block.dropout.p = 0.0
    return model


def noiseless_loss(model: Any, batch: dict[str, Tensor], generator: torch.Generator) -> Any:
    return (model(batch["x"]) - batch["y"]).square().mean(), {}


def test_it_learns(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(steps=300, log_every=50), tmp_path)
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [50, 100, 150, 200, 250, 300]
    assert lines[-1]["loss"] < lines[0]["loss"] / 3
    assert lines[0].keys() == {"step", "loss", "rmse", "lr", "steps_per_second"}


def test_one_step_is_a_step_of_the_optimizer_on_the_first_examples(tmp_path: Path) -> None:
    model, expected = quiet_net(), quiet_net()
    fit(model, noiseless_loss, Points(), config(steps=1), tmp_path)
    examples = [Points()[i] for i in range(8)]
    batch = {name: torch.stack([e[name] for e in examples]) for name in ("x", "y")}
    noiseless_loss(expected, batch, torch.Generator())[0].backward()
    torch.optim.Adam(expected.parameters(), lr=1e-2).step()
    for moved, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(moved, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_add_up_to_the_batch(size: int, tmp_path: Path) -> None:
    models = []
    for micro, folder in ((None, "whole"), (size, "parts")):
        settings = config(micro_batch_size=micro, max_grad_norm=0.1)
        models.append(fit(quiet_net(), noiseless_loss, Points(), settings, tmp_path / folder))
    for whole, parts in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4)


def test_global_random_state_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    fit(net(), loss, Points(), config(num_workers=1), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_and_channels_last_reach_the_model(tmp_path: Path) -> None:
    seen = []

    def watch(model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> Any:
        features = model(batch["x"].view(-1, 2, 3, 1).expand(-1, 2, 3, 3))
        seen.append((features.dtype, model.weight.is_contiguous(memory_format=torch.channels_last)))
        return features.float().mean(), {}

    settings = config(steps=2, bfloat16=True, channels_last=True)
    fit(nn.Conv2d(2, 4, 3), watch, Points(), settings, tmp_path)
    assert seen == [(torch.bfloat16, True)] * 2


def test_hooks_get_the_averaged_model_and_may_log(tmp_path: Path) -> None:
    seen = []

    def validate(step: int, model: nn.Module, run: Path) -> dict[str, float]:
        seen.append((step, model.training, run, model.head.weight.clone()))
        return {"score": float(step)}

    averaged = fit(net(), loss, Points(), config(), tmp_path, hooks=[Hook(5, validate)])
    assert [(step, training, run) for step, training, run, _ in seen] == [
        (step, False, tmp_path) for step in (5, 10, 12)
    ]
    assert torch.equal(seen[-1][3], averaged.head.weight)
    assert not torch.equal(seen[0][3], seen[1][3])
    scores = [line["score"] for line in read_log(tmp_path) if "score" in line]
    assert scores == [5, 10, 12]


def test_a_checkpoint_that_is_due_outlives_a_hook_that_fails(tmp_path: Path) -> None:
    def fail(step: int, model: nn.Module, run: Path) -> None:
        raise RuntimeError("no memory for pictures")

    with pytest.raises(RuntimeError, match="no memory for pictures"):
        fit(net(), loss, Points(), config(save_every=3), tmp_path, hooks=[Hook(3, fail)])
    assert checkpoint.latest_step(tmp_path) == 3


def test_the_configuration_is_kept_beside_what_the_caller_adds(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(), tmp_path, record={"width": 7})
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["width"] == 7
    assert kept["fit"]["optimizer"]["lr"] == 1e-2


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(steps=3), tmp_path)

    def diverge(*arguments: Any) -> Any:
        value, metrics = loss(*arguments)
        return value * math.inf, metrics

    with pytest.raises(UserError, match=r"loss up to step 12: expected a finite number.*lower"):
        fit(net(), diverge, Points(), config(), tmp_path)
    assert read_log(tmp_path)[-1]["loss"] is None
    fit(net(), loss, Points(), config(), tmp_path)
    assert math.isfinite(read_log(tmp_path)[-1]["loss"])


def test_tensorboard_files_are_written_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(net(), loss, Points(), config(tensorboard=True), tmp_path)
    assert [*(tmp_path / "tensorboard").glob("events.out.tfevents.*")]


def test_weights_and_biases_gets_the_figures_and_goes_on_with_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, Any]] = []
    logged: list[tuple[int, float]] = []
    finished: list[bool] = []
    one = SimpleNamespace(
        log=lambda figures, step: logged.append((step, figures["loss"])),
        finish=lambda: finished.append(True),
    )

    def init(**options: Any) -> SimpleNamespace:
        opened.append(options)
        return one

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    for steps in (4, 8):
        fit(net(), loss, Points(), config(steps=steps, log_every=4, wandb="mine"), tmp_path)
    assert [step for step, _ in logged] == [4, 8] and finished == [True, True]
    assert [line["loss"] for line in read_log(tmp_path)] == [value for _, value in logged]
    assert opened[0] == opened[1] and opened[0]["project"] == "mine"
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="wandb is not installed; pip install wandb"):
        fit(net(), loss, Points(), config(wandb="mine"), tmp_path / "other")


def test_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(net(), loss, Points(), config(progress=True, log_every=1), tmp_path)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2, "the first and the last of twelve"
    assert lines[-1].startswith("step 12/12  loss ") and lines[-1].endswith("0:00 left")


def test_a_torn_last_line_of_the_log_is_dropped(tmp_path: Path) -> None:
    fit(net(), loss, Points(), config(steps=4), tmp_path)
    with (tmp_path / log.LOG).open("a") as file:
        file.write('{"step": 4, "lo')
    fit(net(), loss, Points(), config(), tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [4, 12]


def test_a_path_through_a_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*/file/run: a part of this path is a file"):
        fit(net(), loss, Points(), config(), tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_ends_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"no permission to write there"):
        fit(net(), loss, Points(), config(), tmp_path / "run")


def test_permission_lost_on_the_way_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"config\.json: no permission to write there"):
        fit(net(), loss, Points(), config(), tmp_path / "run")
    assert [*(tmp_path / "run").iterdir()] == [], "no temporary file stays"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """Mounts file systems of some bytes, where the test may do so."""
    mounts: list[Path] = []

    def mount(size: int) -> Path:
        path = tmp_path / f"disk-{size}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("file systems cannot be mounted here")
        mounts.append(path)
        return path

    yield mount
    for path in mounts:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_ends_in_one_line_and_resumes(small_disk: Any) -> None:
    settings = config(save_every=3, log_every=1)
    for pages in (1, 2, 4, 6, 7):
        disk = small_disk(4096 * pages)
        with pytest.raises(UserError, match="disk is full") as caught:
            fit(net(), loss, Points(), settings, disk / "run")
        assert "\n" not in str(caught.value)
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    fit(net(), loss, Points(), settings, disk / "run")


@pytest.mark.parametrize("limit", [100, 600, 2000, 6000])
def test_no_write_fails_silently(limit: int, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(UserError, match=f"cannot write {tmp_path}"):
            fit(net(), loss, Points(), config(), tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_settings_do_not_import_torch() -> None:
    code = "import sys, scalable_binding.engine.fit_config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
