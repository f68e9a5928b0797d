"""nf-policies envs: the tasks that run by the thousand on one device, and the entries of any task."""

import math
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from nf_policies.commands.tables import drawn
from nf_policies.runs.directory import to_json

ENTRIES_SHOWN = 500


@dataclass
class Envs:
    """List the batched tasks: what they show and take, how long they last, what they ask, and where they are from.

    With the id of a task, batched or not, also each entry of its observations and actions: name, unit and bounds.
    """

    words: tyro.conf.Positional[tuple[str, ...]] = ()  # Words in id, text or reference; or the id of any task.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Find and filter. Returns the text for stdout."""
        tasks = [task for task in batched_tasks() if _has(task, self.words)]
        entries = entries_of_task(self.words[0]) if len(self.words) == 1 and is_id(self.words[0]) else None
        if not tasks and not entries:
            wanted = " and ".join(map(repr, self.words)) or "a batched task"
            raise ValueError(f"No task with {wanted}: nf-policies envs without words lists all.")
        if self.json:
            named = {kind: [entry._asdict() for entry in found] for kind, found in (entries or {}).items()}
            return to_json({"tasks": tasks, **named}) + "\n"
        of_entries = (_table_of_entries(f"{kind} of {self.words[0]}", e) for kind, e in (entries or {}).items())
        return drawn(*([_table(tasks)] if tasks else []), *of_entries)


def batched_tasks() -> list[dict[str, Any]]:
    """All registered tasks that say what they ask, as Gymnasium's registry has them.

    A task says so by `about`, an entry of its registered keywords, which becomes part of its `metadata`.
    """
    import gymnasium as gym

    from nf_policies.tasks.registry import register_installed

    register_installed()
    tasks = []
    for spec in [spec for spec in gym.registry.values() if "about" in spec.kwargs]:
        env: Any = gym.make(spec, disable_env_checker=True).unwrapped
        space = env.action_space
        takes = f"1 of {space.n}" if hasattr(space, "n") else f"{math.prod(space.shape)} within ±{space.high.max():g}"
        tasks.append(
            {
                "env_id": spec.id,
                "observation_space": str(env.observation_space).replace("\n", ""),
                "action_space": str(space),
                "max_episode_steps": spec.max_episode_steps,
                "dt": env.func_env.dt,
                "asks": env.metadata["asks"],
                "reference": env.metadata["reference"],
                "gymnasium_id": env.metadata["twin"],
                "shows": math.prod(env.observation_space.shape),
                "takes": takes,
            }
        )
    return tasks


def is_id(word: str) -> bool:
    """Whether a word is the id of a registered task, `package.module:EnvId` included."""
    import gymnasium as gym

    return ":" in word or word in gym.registry


def entries_of_task(env_id: str) -> dict[str, tuple[Any, ...]]:
    """The entries of a task's observations and actions, as `policies.names.Entry`; a TaskError if it cannot be made."""
    from contextlib import closing

    from nf_policies.policies.names import entries_of
    from nf_policies.tasks.make import make_task
    from nf_policies.tasks.names import names_of

    with closing(make_task(env_id, max_episode_steps=1)) as env:
        names = names_of(env)
        return {
            "observation": entries_of(env.observation_space, names.observation),
            "action": entries_of(env.action_space, names.action, "action"),
        }


def _has(task: dict[str, Any], words: tuple[str, ...]) -> bool:
    text = " ".join(str(task[key]) for key in ("env_id", "asks", "reference", "gymnasium_id")).lower()
    return all(word.lower() in text for word in words)


def _table(tasks: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("task", no_wrap=True)
    for name in ("shows", "takes", "steps", "dt [s]", "asks", "from"):
        table.add_column(name, justify="right" if name in ("shows", "steps", "dt [s]") else "left")
    for task in tasks:
        twin = f"= {task['gymnasium_id']}" if task["gymnasium_id"] else task["reference"]
        dt = "" if task["dt"] == 1 else f"{task['dt']:g}"
        steps = f"{task['max_episode_steps']:,}"
        table.add_row(task["env_id"], str(task["shows"]), task["takes"], steps, dt, task["asks"], twin)
    return table


def _table_of_entries(title: str, entries: tuple[Any, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for name in ("entry", "name", "unit", "from", "to"):
        table.add_column(name, justify="left" if name in ("name", "unit") else "right")
    for i, entry in enumerate(entries[:ENTRIES_SHOWN]):
        table.add_row(str(i), entry.name, entry.unit, f"{entry.low:g}", f"{entry.high:g}")
    if len(entries) > ENTRIES_SHOWN:
        table.add_row("…", f"{len(entries):,} entries; --json prints all")
    return table
