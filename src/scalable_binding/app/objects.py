"""New objects of a project: their ids, names and colors."""

from __future__ import annotations

from scalable_binding.app.project import Kind, Object, Project
from scalable_binding.errors import UserError

COLORS = (
    "#2f9bff", "#ff5a4d", "#34c77b", "#ffb020", "#b57bff", "#ff6fb5", "#1fc8c8", "#c3d82c",
    "#8c6cff", "#ff8a3c", "#5fd3ff", "#e05fe0", "#7ac74f", "#d9a066", "#5b8def", "#f25c8a",
)  # fmt: skip
"""Given to new objects in turn: bright, and apart from each other on most pictures."""

MAX_OBJECTS = 255


def new_object(project: Project, name: str | None, color: str | None, kind: Kind) -> Object:
    """An object that is not in the project yet.

    Raises:
        UserError: a name that is taken, a bad color, or more than 255 objects.
    """
    number = max((each.id for each in project.objects(removed=True)), default=0) + 1
    if number > MAX_OBJECTS:
        raise UserError("objects", expected=f"at most {MAX_OBJECTS} in a project")
    name = name or f"{'object' if kind == 'mask' else 'point'} {number}"
    return Object(
        id=number,
        name=free_name(project, name),
        color=checked_color(color or COLORS[(number - 1) % len(COLORS)]),
        kind=kind,
    )


def free_name(project: Project, name: str, but: int | None = None) -> str:
    """A name in its normal form.

    Raises:
        UserError: it is empty or long, or another object than ``but`` has it.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= 80:
        raise UserError("name", expected="1 to 80 characters", got=str(len(name)))
    if any(each.name == name and each.id != but for each in project.objects()):
        raise UserError(f"there is an object {name!r} already", fix="choose another name")
    return name


def checked_color(color: str) -> str:
    """A color in its normal form.

    Raises:
        UserError: it is none.
    """
    digits = color.removeprefix("#").lower()
    if len(digits) != 6 or set(digits) - set("0123456789abcdef"):
        raise UserError("color", expected="#rrggbb, such as #2f9bff", got=color[:40])
    return f"#{digits}"
