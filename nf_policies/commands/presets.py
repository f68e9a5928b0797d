"""nf-policies presets: the settings of evolve and train where no option is given, and where they come from."""

import json
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from nf_policies.commands.options import Repeated, searches
from nf_policies.commands.tables import drawn
from nf_policies.runs.directory import to_json
from nf_policies.runs.presets import PRESETS, own_preset


@dataclass
class Presets:
    """Show the settings that train and evolve use for a task, or which tasks have settings of their own.

    With a task, --json prints what --preset reads: save it, change it, and train or evolve with it.
    """

    env: tyro.conf.Positional[str | None] = None  # A Gymnasium id or package.module:EnvId; without one, all presets.
    env_kwargs: str | None = None  # As with evolve and train.
    wrapper: Repeated = ()  # As with evolve and train.
    hide_velocity: bool = False  # As with evolve and train, which may know other settings then.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Look them up. Returns the text for stdout."""
        if self.env is None:
            return to_json({"presets": PRESETS}) + "\n" if self.json else drawn(_table_of_all())
        task: Any = {name: getattr(self, name) for name in ("env", "env_kwargs", "wrapper", "hide_velocity")}
        known = "" if self.env_kwargs or self.wrapper else self.env
        settings = {name: search(**task).resolved().settings() for name, search in searches().items()}
        own = {name: own_preset(name, known, hide_velocity=self.hide_velocity) for name in settings}
        if self.json:
            of_task = {name: sorted(of_one) for name, of_one in own.items()}
            found = {"env_id": self.env, **settings, "about": {"from the task's preset": of_task}}
            return json.dumps(found, indent=2) + "\n"
        return "\n".join(drawn(_table_of_one(name, settings[name], own[name])) for name in settings)


def _table_of_one(command: str, settings: dict[str, Any], own: Any) -> Table:
    table = _table(command, "value", "from")
    for name, value in settings.items():
        parts = value if isinstance(value, dict) else {}
        source = own.get(name, {}) if parts else own
        for part, entry in parts.items() or [(name, value)]:
            label = f"{name}.{part}" if parts else name
            table.add_row(label, json.dumps(entry), "the task's preset" if part in source else "general")
    return table


def _table_of_all() -> Table:
    table = _table("task", "command", "settings beside the general ones")
    for command, presets in PRESETS.items():
        for name, own in presets.items():
            table.add_row(name, command, ", ".join(f"{option} {json.dumps(value)}" for option, value in own.items()))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name != columns[-1])
    return table
