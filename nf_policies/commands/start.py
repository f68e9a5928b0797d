"""The policy file that a run begins with: `evolve` goes on from what was trained, `train` from what was evolved."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nf_policies.atomic import atomic_path
from nf_policies.runs.directory import RunError

if TYPE_CHECKING:
    from nf_policies.commands.task import Shown
    from nf_policies.policies.policy import Policy

START = "start.safetensors"
"""Its copy in the run's folder, from which a resumed run begins."""
OF_START = ("self_excitation", "output_weight")
"""Options that are start values of a field's weights."""
OF_FIELD = ("field", "hidden_size", "dynamics", "activation", "tau", "field_option", *OF_START)
OF_THE_FILE = (*OF_FIELD, "hide_velocity", "hide")
"""Options that the file decides."""


def check_start(options: Any) -> None:
    """Refuse, with a RunError, options beside --start that its file decides."""
    defaults = type(options)()
    given = [name for name in OF_THE_FILE if getattr(options, name, None) != getattr(defaults, name, None)]
    if options.start and given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise RunError(f"--start brings its own field and what it sees: leave out {names}.")


def keep_start(options: Any, run_dir: Path) -> None:
    """Copy the file into the folder of a new run."""
    if options.start:
        with atomic_path(run_dir / START) as copy:
            shutil.copyfile(options.start, copy)


def start_policy(options: Any, task: "Shown") -> "Policy | None":
    """The policy of --start, for the task of the run as it shows itself; None without.

    Raises: PolicyFileError if it cannot be read, RunError if it is not a neural field's or of another task.
    """
    if not options.start:
        return None
    from nf_policies.fields.field import Field
    from nf_policies.policies.policy import Policy

    policy = Policy.load(options.resume / START if options.resume else options.start)
    if not isinstance(policy.field, Field):
        raise RunError(f"{options.start} holds a {type(policy.field).__name__}: --start needs a neural field.")
    try:
        policy.check_task(*task[:2])
    except ValueError as error:
        raise RunError(f"{options.start} is no start for {options.env}: {error}") from error
    policy.env_id, policy.made_by = options.env, {}
    return policy
