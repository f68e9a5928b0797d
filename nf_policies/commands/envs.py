"""nf-policies envs: the tasks that run by the thousand on one device."""

import json
import math
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table


@dataclass
class Envs:
    """List the batched tasks: what they show and take, how long they last, what they ask, and where they are from."""

    words: tyro.conf.Positional[tuple[str, ...]] = ()  # Only tasks with all these words in their id, text or reference.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Find and filter. Returns the text for stdout."""
        tasks = [task for task in batched_tasks() if _has(task, self.words)]
        if not tasks:
            wanted = " and ".join(map(repr, self.words)) or "a batched task"
            raise ValueError(f"No task with {wanted}: nf-policies envs without words lists all.")
        if self.json:
            return json.dumps({"tasks": tasks}) + "\n"
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160  # of a table that goes into a file
        with console.capture() as table:
            console.print(_table(tasks))
        return table.get()


def batched_tasks() -> list[dict[str, Any]]:
    """All registered tasks that say what they ask, as Gymnasium's registry has them.

    A task says so by `about`, an entry of its registered keywords, which becomes part of its `metadata`.
    """
    import gymnasium as gym

    from nf_policies.tasks.make import register_installed

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
