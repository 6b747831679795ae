"""Configurations: round trips, conversions, and errors that name the field."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalable_binding.engine import config
from scalable_binding.errors import UserError


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    name: Literal["adam", "lamb"] = "adam"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError("lr", expected="a positive number", got=str(self.lr))


@dataclass(frozen=True, kw_only=True)
class Average:
    decay: float = 0.999


@dataclass(frozen=True, kw_only=True)
class Train:
    steps: int = 1000
    fps: float | None = 8.0
    flip: bool = False
    title: str = "walk"
    cache: Path | None = None
    widths: tuple[int, ...] = (64, 128)
    color: Color = Color.RED
    device: int | Literal["auto"] = "auto"
    optimizer: Optimizer = field(default_factory=Optimizer)
    average: Average | None = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    seed: int
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError("low must be below high")


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("steps", "12", 12),
        ("steps", "1e5", 100_000),
        ("steps", 7.0, 7),
        ("fps", "30", 30.0),
        ("fps", "inf", float("inf")),
        ("fps", "none", None),
        ("fps", None, None),
        ("flip", "yes", True),
        ("flip", "False", False),
        ("title", "none", "none"),
        ("title", "8", "8"),
        ("cache", "/tmp/frames", Path("/tmp/frames")),
        ("widths", "8,16, 32", (8, 16, 32)),
        ("widths", "[8, 16]", (8, 16)),
        ("widths", "(8,)", (8,)),
        ("widths", "8", (8,)),
        ("widths", "", ()),
        ("widths", [1, "2"], (1, 2)),
        ("color", "blue", Color.BLUE),
        ("color", "2", Color.BLUE),
        ("device", "3", 3),
        ("device", "auto", "auto"),
        ("optimizer.lr", "3e-4", 3e-4),
        ("optimizer.betas", "0.5,.9", (0.5, 0.9)),
        ("optimizer.name", "lamb", "lamb"),
        ("average.decay", "0.5", 0.5),
    ],
)
def test_override_converts_to_the_type_of_the_field(path: str, text: Any, value: Any) -> None:
    changed: Any = config.override(Train(), {path: text})
    for name in path.split("."):
        changed = getattr(changed, name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("steps", "many", "setting 'steps': expected a whole number, got 'many'"),
        ("steps", "1.5", "setting 'steps': expected a whole number, got '1.5'"),
        ("steps", True, "setting 'steps': expected a whole number, got True"),
        ("steps", "nan", "setting 'steps': expected a whole number, got 'nan'"),
        ("steps", "inf", "setting 'steps': expected a whole number, got 'inf'"),
        ("flip", "maybe", "setting 'flip': expected true or false, got 'maybe'"),
        ("flip", 1, "setting 'flip': expected true or false, got 1"),
        ("title", 3, "setting 'title': expected text, got 3"),
        ("fps", "fast", "setting 'fps': expected a number or none, got 'fast'"),
        ("widths", "1,x", "setting 'widths': expected a list, each item a whole number, got '1,x'"),
        ("widths", "[1", "setting 'widths': expected a list, each item a whole number, got '[1'"),
        (
            "optimizer.betas",
            "1",
            "setting 'optimizer.betas': expected a list of 2: a number, a number, got '1'",
        ),
        (
            "optimizer.name",
            "sgd",
            "setting 'optimizer.name': expected one of adam, lamb, got 'sgd'",
        ),
        ("color", "green", "setting 'color': expected one of red, blue, got 'green'"),
        ("cache", 3, "setting 'cache': expected a path or none, got 3"),
        ("optimizer.lr", "none", "setting 'optimizer.lr': expected a number, got 'none'"),
        (
            "optimizer",
            None,
            "setting 'optimizer': expected a group of settings (name, lr, betas), got none",
        ),
        ("optimizer.lr", "-1", "settings 'optimizer': lr: expected a positive number, got -1.0"),
    ],
)
def test_wrong_values_say_field_expected_and_got(path: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        config.override(Train(), {path: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("optimizer.lrr", "'optimizer.lr'"),
        ("optimiser.lr", "'optimizer.lr'"),
        ("lr", "'optimizer.lr'"),
        ("betas", "'optimizer.betas'"),
        ("optimizer.decay", "'average.decay'"),
        ("average.dekay", "'average.decay'"),
        ("stepss", "'steps'"),
    ],
)
def test_unknown_fields_name_the_nearest_valid_one(path: str, nearest: str) -> None:
    with pytest.raises(UserError) as caught:
        config.override(Train(), {path: "1"})
    assert str(caught.value) == f"unknown setting {path!r}; did you mean {nearest}?"


def test_unknown_field_unlike_any_other_lists_what_there_is() -> None:
    with pytest.raises(UserError, match="unknown setting 'zzz'; there is steps, fps, flip, title"):
        config.override(Train(), {"zzz": "1"})


def test_a_field_of_a_plain_setting_is_unknown() -> None:
    with pytest.raises(UserError, match="setting 'steps': expected a whole number"):
        config.override(Train(), {"steps.size": "1"})


def test_fields_bound_to_each_other_move_together() -> None:
    assert config.override(Needs(seed=0), {"low": 5, "high": 6}).low == 5
    with pytest.raises(UserError, match="low must be below high"):
        config.override(Needs(seed=0), {"low": 5})


def test_a_field_without_default_must_be_given() -> None:
    with pytest.raises(UserError, match="setting 'seed': expected a whole number, got none"):
        config.from_mapping(Needs, {"low": 0})


@pytest.mark.parametrize(
    "mapping",
    [{"optimizer": {"lr": 1}, "optimizer.lr": 2}, {"optimizer": 1, "optimizer.lr": 2}],
)
def test_one_field_set_twice_is_refused(mapping: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"'optimizer\.lr' is given twice"):
        config.from_mapping(Train, mapping)


@pytest.mark.parametrize("key", [3, "", "optimizer.", ".lr", "a..b"])
def test_names_of_settings_are_names_joined_by_dots(key: Any) -> None:
    with pytest.raises(UserError, match="expected names joined by dots"):
        config.nest({"optimizer": {key: 1}})


def test_optional_groups_start_from_their_defaults_and_can_be_removed() -> None:
    with_average = config.override(Train(), {"average": {}})
    assert with_average.average == Average()
    assert config.override(with_average, {"average": "none"}).average is None


def test_override_leaves_the_original_and_every_other_field_alone() -> None:
    before = Train(cache=Path("x"), color=Color.BLUE, fps=float("inf"), average=Average())
    after = config.override(before, {"optimizer.lr": "1e-2"})
    assert before.optimizer.lr == 1e-4
    assert config.override(after, {"optimizer.lr": 1e-4}) == before


SMALL_INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)


@given(
    st.builds(
        Train,
        steps=SMALL_INTEGERS,
        fps=st.none() | st.floats(allow_nan=False),
        flip=st.booleans(),
        title=st.text(),
        cache=st.none() | st.just(Path("a/b")),
        widths=st.lists(SMALL_INTEGERS, max_size=4).map(tuple),
        color=st.sampled_from(Color),
        device=SMALL_INTEGERS | st.just("auto"),
        optimizer=st.builds(Optimizer, lr=st.floats(1e-9, 1)),
        average=st.none() | st.builds(Average, decay=st.floats(0, 1)),
    )
)
def test_json_round_trip(original: Train) -> None:
    text = config.to_json(original)
    assert config.from_mapping(Train, json.loads(text, parse_constant=pytest.fail)) == original


@pytest.mark.parametrize("number", [2**63, -(2**64), str(2**63)])
def test_numbers_beyond_64_bits_are_refused(number: object) -> None:
    with pytest.raises(UserError, match="expected a whole number, of at most 64 bits, got"):
        config.from_mapping(Train, {"steps": number})


def test_yaml_round_trip_through_a_file(tmp_path: Path) -> None:
    original = Train(fps=float("inf"), cache=Path("frames"), average=Average())
    (tmp_path / "run.yaml").write_text(config.to_yaml(original))
    assert config.from_mapping(Train, config.read(tmp_path / "run.yaml")) == original


def test_files_may_nest_or_dot_and_write_numbers_as_people_do(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("steps: 1e3\noptimizer:\n  lr: 3e-4\naverage.decay: .9\n")
    read = config.from_mapping(Train, config.read(path))
    assert (read.steps, read.optimizer.lr) == (1000, 3e-4)
    assert read.average == Average(decay=0.9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"\xff\xfe\xff", "not a text file in UTF-8"),
        (b"a: [1", "is neither YAML nor JSON"),
        (b"- 1\n- 2\n", "expected a mapping of settings"),
        (b"!!python/object/apply:os.system ['true']", "is neither YAML nor JSON"),
    ],
)
def test_unreadable_files_are_one_clear_line(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        config.read(path)
    assert "\n" not in str(caught.value)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").touch()
    assert config.read(tmp_path / "run.yaml") == {}


def test_settings_lists_every_leaf_with_what_it_accepts() -> None:
    leaves = {leaf.path: leaf for leaf in config.settings(Train())}
    assert leaves["optimizer.lr"].value == 1e-4
    assert leaves["optimizer.name"].accepts == "one of adam, lamb"
    assert leaves["average"].accepts == "a group of settings (decay) or none"
    assert "optimizer" not in leaves


def test_a_field_type_that_cannot_be_configured_is_our_error() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        table: dict[str, int]

    with pytest.raises(TypeError, match="cannot hold"):
        config.from_mapping(Odd, {"table": 1})


def test_config_does_not_import_torch() -> None:
    code = "import sys, scalable_binding.engine.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
