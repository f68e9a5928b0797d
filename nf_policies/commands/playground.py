"""nf-policies playground: one page on which a policy plays its task."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from nf_policies.commands.start import OF_START
from nf_policies.runs.directory import to_json
from nf_policies.runs.presets import Facts, preset_of

if TYPE_CHECKING:
    from nf_policies.policies.policy import Policy

DEFAULT = "nf/CartPoleNoVel-v1"


@dataclass
class Playground:
    """Write one page that works without a network: the task moves, everything has a slider, a hand pushes.

    Without a file the page shows a policy before any learning, as evolve would begin, and can evolve it.
    """

    file: tyro.conf.Positional[Path | None] = None  # Policy file, as evolve and train save it.
    out: Path = Path("playground.html")  # The page.
    env: str | None = None  # Task: a batched task or its twin; by default that of the file, without one CartPole.
    max_episode_steps: int | None = None  # Time limit in steps; by default that of the run.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Load or begin a policy, and write its page. Returns the text for stdout."""
        from nf_policies.atomic import write_text
        from nf_policies.playground.page import page
        from nf_policies.policies.policy import Policy
        from nf_policies.tasks.of_file import task_of_file

        if self.file is None:
            policy, spread = untrained(self.env or DEFAULT), 1.0
            says = "This policy has learned nothing yet: let a hundred of them evolve."
        else:
            policy, spread, says = Policy.load(self.file), 0.3, ""
        told: dict[str, Any] = {"env": self.env, "max_episode_steps": self.max_episode_steps}
        task = task_of_file(policy.env_id, policy.env_spec, **told)
        scales = preset_of("evolve", task.env_id, hide_velocity=policy.visible is not None)["scale"]
        text = page(policy, task, says=says, scales=scales, spread=spread)
        write_text(self.out, text)
        size = len(text.encode())
        if self.json:
            return to_json({"page": str(self.out), "bytes": size, "env_id": task.env_id}) + "\n"
        return f"wrote {self.out}, {size / 1000:.0f} kB: open it in a browser\n"


def untrained(env_id: str) -> "Policy":
    """The policy with which `nf-policies evolve` would begin on a batched task."""
    from nf_policies.evolution.start import start_field
    from nf_policies.playground.task import find_task
    from nf_policies.policies.kinds import field_sizes
    from nf_policies.policies.policy import Policy

    envs = find_task(env_id)
    spaces = envs.single_observation_space, envs.single_action_space
    sizes = field_sizes(*spaces)
    preset = preset_of("evolve", env_id, Facts(*sizes, envs.spec.max_episode_steps, batched=True))
    more = {name: preset[name] for name in OF_START} | preset["field_option"]
    return Policy(start_field(preset["field"], *sizes, preset["hidden_size"], **more), *spaces, env_id=env_id)
