"""``sbind carml adapt``: adapt an agent to a task without a gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from scalable_binding.cli.carml.options import Asked, TrustOption, _at_least
from scalable_binding.cli.outputs import JsonOption, prepare_target, write_json


def adapt(
    run: Path,
    /,
    *,
    task: Annotated[str, Asked],
    trials: int = 16,
    episodes: int = 4,
    seed: int = 0,
    trust: TrustOption = False,
    json: JsonOption = None,
) -> None:
    """Let an agent adapt to a task within a few episodes, without a gradient.

    Parameters
    ----------
    run
        Folder of a trained agent.
    trials
        Trials, each from a fresh start.
    episodes
        In a trial, through which the agent keeps what it has seen.
    seed
        Of worlds and actions.
    """
    _at_least("trials", trials, 1)
    _at_least("episodes", episodes, 1)
    if json is not None:
        prepare_target(json, overwrite=True)
    from scalable_binding.carml import inference

    found = inference.try_out(run, task, trials=trials, episodes=episodes, seed=seed, trust=trust)
    returns = found.returns.mean(0).tolist()
    results: dict[str, Any] = {"task": found.name, "trials": trials, "return": returns}
    if found.reached is not None:
        results["success"] = found.reached.double().mean(0).tolist()
    print(f"{found.name}: mean of {trials} trials")
    for number, value in enumerate(returns, start=1):
        share = (
            f", reached in {results['success'][number - 1]:.0%}"
            if found.reached is not None
            else ""
        )
        print(f"episode {number}: return {value:.4g}{share}")
    write_json(json, results)
