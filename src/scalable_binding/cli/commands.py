"""The tree of commands. Each is imported when it is called, so that help needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed_version

import cyclopts

from scalable_binding.cli.bounds import check_tokens, check_values
from scalable_binding.errors import UserError

PACKAGE = "scalable-binding"
_HERE = "scalable_binding.cli"


def version() -> str:
    """The installed version of the package."""
    return installed_version(PACKAGE)


def build() -> cyclopts.App:
    """The whole command line as a cyclopts app, its commands still to be imported."""
    app = cyclopts.App(
        name="sbind",
        help="Pre-training without labels on your own images, videos and environments.",
        version=version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    crw = cyclopts.App(
        name="crw",
        help="Contrastive random walk: train encoders on video; propagate labels.",
    )
    crw.command(f"{_HERE}.crw.train:train", help="Train an encoder on unlabeled videos.")
    crw.command(
        f"{_HERE}.crw.propagate:propagate",
        help="Propagate masks, parts or key points from labeled frames through a video.",
    )
    crw.command(
        f"{_HERE}.crw.calibrate:calibrate",
        help="Fit an encoder's reader (batch norms, whitening) on unlabeled frames.",
    )
    crw.command(f"{_HERE}.crw.evaluate:evaluate", help="Evaluate an encoder on a benchmark.")
    rin = cyclopts.App(
        name="rin",
        help="Recurrent interface networks: diffusion models of images and video.",
    )
    rin.command(f"{_HERE}.rin.train:train", help="Train a network to generate images or video.")
    rin.command(f"{_HERE}.rin.count:count", help="Print parameters and FLOPs beside Table 2.4.")
    rin.command(f"{_HERE}.rin.sample:sample", help="Generate images or videos.")
    rin.command(f"{_HERE}.rin.predict:predict", help="Predict several futures of a video.")
    rin.command(
        f"{_HERE}.rin.inpaint:inpaint",
        help="Inpaint images, or complete videos, from known pixels.",
    )
    rin.command(f"{_HERE}.rin.attend:attend", help="Draw read-attention maps and their statistics.")
    rin.command(
        f"{_HERE}.rin.evaluate:evaluate",
        help="Evaluate a network: loss by noise level, FID-like distances, forecasts.",
    )
    carml = cyclopts.App(
        name="carml",
        help="Unsupervised meta-reinforcement learning: pre-train agents without rewards.",
    )
    carml.command(f"{_HERE}.carml.train:train", help="Train an agent without rewards.")
    carml.command(
        f"{_HERE}.carml.adapt:adapt",
        help="Run an agent's four episodes on a task, without gradient steps.",
    )
    carml.command(
        f"{_HERE}.carml.finetune:finetune",
        help="Fine-tune an agent on one task or a task distribution.",
    )
    carml.command(f"{_HERE}.carml.evaluate:evaluate", help="Evaluate an agent on unseen tasks.")
    flow = cyclopts.App(
        name="flow",
        help="Multiscale random walk: optical flow and point tracks.",
    )
    flow.command(f"{_HERE}.flow.train:train", help="Train a network on unlabeled videos.")
    flow.command(
        f"{_HERE}.flow.estimate:estimate", help="Estimate optical flow of a video or an image pair."
    )
    flow.command(f"{_HERE}.flow.track:track", help="Track points through a video.")
    flow.command(f"{_HERE}.flow.evaluate:evaluate", help="Evaluate a network on a benchmark.")
    permanence = cyclopts.App(
        name="permanence",
        help="Random walk along memory: track objects through full occlusion.",
    )
    permanence.command(
        f"{_HERE}.permanence.train:train", help="Train a tracker on synthetic hide-and-seek clips."
    )
    permanence.command(
        f"{_HERE}.permanence.track:track",
        help="Track boxed objects through a video, also while occluded.",
    )
    permanence.command(
        f"{_HERE}.permanence.evaluate:evaluate",
        help="Evaluate a tracker on visible and hidden frames.",
    )
    config = cyclopts.App(name="config", help="Show presets and their settings.")
    config.command(f"{_HERE}.config.presets:presets", help="List the presets of a system.")
    config.command(f"{_HERE}.config.show:show", help="Print a preset, overrides applied, as YAML.")
    app.command(crw)
    app.command(rin)
    app.command(flow)
    app.command(permanence)
    app.command(carml)
    app.command(config)
    app.command(
        f"{_HERE}.app:app",
        help="Label videos in the browser; sample RIN; watch CARML adapt.",
    )
    app.command(
        f"{_HERE}.demo:demo", help="Run every system on bundled data and write an HTML report."
    )
    app.command(_print_version, name="version", help="Print the version.")
    return app


def run(tokens: Sequence[str]) -> None:
    """Parse ``tokens`` and run the command they name.

    Raises:
        UserError: the tokens are no command, or the command refuses what it was given.
    """
    check_tokens(tokens)
    app = build()
    commands, _, _ = app.parse_commands(list(tokens))
    if commands and commands[-1] in ("train", "finetune", "show", "count"):
        tokens = spell_settings(tokens)
    with _parse_errors_are_the_users(commands):
        command, bound, _ = app.parse_args(list(tokens), print_error=False, exit_on_error=False)
    check_values(bound.arguments)
    command(*bound.args, **bound.kwargs)


def spell_settings(tokens: Sequence[str]) -> list[str]:
    """The tokens with every ``--group.field VALUE`` written out as ``--set group.field=VALUE``.

    A dot or an underscore in the name of an option marks a field of the configuration, since no
    option has one.

    Raises:
        UserError: such an option has no value.
    """
    spelled = []
    remaining = iter(tokens)
    for token in remaining:
        name, equals, value = token.partition("=")
        if not (name.startswith("--") and {".", "_"} & {*name}):
            spelled.append(token)
            continue
        if not equals:
            value = next(remaining, "--")
            if value.startswith("--"):
                raise UserError(f"option {name}", expected="a value", got="none")
        spelled += ["--set", f"{name[2:]}={value}"]
    return spelled


@contextmanager
def _parse_errors_are_the_users(commands: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except cyclopts.CycloptsError as error:
        line = str(error).strip().rstrip(".")
        raise UserError(line, fix=f"see '{' '.join(['sbind', *commands, '--help'])}'") from error


def _print_version() -> None:
    print(version())
