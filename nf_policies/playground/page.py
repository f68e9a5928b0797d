"""One HTML file of a task, a policy and the drawings; it loads nothing."""

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from types import MappingProxyType
from typing import Any

from nf_policies.playground.formulas import PRELUDE
from nf_policies.playground.policy import policy_part
from nf_policies.playground.task import Part, find_task, task_part
from nf_policies.policies.policy import Policy
from nf_policies.tasks.description import Task, task_of

PLAYED = ("random.js", "episode.js", "search.js", "crowd.js")
"""What needs no browser."""
SHOWN = (
    "pen.js",
    "scenes_carts.js",
    "scenes_arms.js",
    "scenes_memory.js",
    "charts.js",
    "sliders.js",
    "hand.js",
    "main.js",
)
"""The files share one scope, in this order."""


def page(
    policy: Policy,
    task: Task | str,
    *,
    says: str = "",
    scales: Mapping[str, float] = MappingProxyType({}),
    spread: float = 0.3,
    max_episode_steps: int | None = None,
) -> str:
    """The page of a policy on a task.

    Args:
        policy: For the spaces of the task.
        task: A batched task, or its twin in Gymnasium.
        says: A sentence about the policy, under the title.
        scales: Factors of parameters' natural scales, by the beginning of their names, for the hundred and the search.
        spread: Of the hundred, in units of the scales.
        max_episode_steps: Time limit, in place of the registered one.
    Raises: ValueError if the policy does not fit the task, or the page cannot compute one of them.
    """
    envs, env_id = find_task(task, max_episode_steps), task_of(task).env_id
    policy.check_task(envs.single_observation_space, envs.single_action_space)
    shown = task_part(env_id, envs)
    played = policy_part(policy, scales)
    about = f"{shown.about['asks']} {_player(played.about, policy.encode.total)} {says}".strip()
    return Template(_asset("index.html")).substitute(
        title=html.escape(f"{env_id}, {policy.n_parameters} parameters"),
        says=html.escape(about),
        spread=spread,
        style=_asset("style.css"),
        script=script_of(shown, played, PLAYED + SHOWN),
    )


def script_of(task: Part, policy: Part, names: tuple[str, ...]) -> str:
    """The script of a page, or the part of it in the named files."""
    about = json.dumps({"task": task.about, "policy": policy.about}, allow_nan=False)
    about = about.replace("<", "\\u003c")  # whatever a file calls its task, it cannot end a script
    computed = (
        f"const {name} = (() => {{\n{part.script}\nreturn {{{', '.join(functions)}}};\n}})();\n"
        for name, part, functions in (
            ("task", task, ("initial", "transition", "features", "reward", "terminal")),
            ("policy", policy, ("start", "step")),
        )
    )
    return "\n".join((f"const about = {about};", PRELUDE, *computed, *map(_asset, names)))


def _player(about: Mapping[str, Any], entries: int) -> str:
    """Who plays, in a sentence."""
    seen = about["visible"]
    sees = "" if len(seen) == entries else f", seeing {len(seen)} of {entries} entries of the observation"
    neurons = "1 neuron" if about["neurons"] == 1 else f"{about['neurons']} neurons"
    return f"{about['kind']}, {neurons}{sees}."


def _asset(name: str) -> str:
    return (files("nf_policies.playground") / "page" / name).read_text(encoding="utf-8")
