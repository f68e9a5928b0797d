"""The command line: nf-policies evolve | train | tune | …. Nothing heavy is imported before a command runs."""

import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_policies.terminal import replace_closed_streams, show, to_stderr


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Words of the command line, by default the process's own.
    Returns: The exit status: 0, 1 after an error (one sentence on stderr), 2 for a wrong option, 130 after Ctrl-C.
    """
    try:
        replace_closed_streams()
        warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # films need no display, and SDL need not look for one
        sys.path.append(os.getcwd())  # so that package.module:EnvId finds the user's own module
        return _run(args)
    except KeyboardInterrupt:
        return 130


def _run(args: Sequence[str] | None) -> int:
    import tyro

    from nf_policies.commands.envs import Envs
    from nf_policies.commands.evolve import Evolve
    from nf_policies.commands.export import Export
    from nf_policies.commands.presets import Presets
    from nf_policies.commands.rollout import Rollout
    from nf_policies.commands.train import Train
    from nf_policies.commands.tune import Tune

    commands: dict[str, Any] = {"evolve": Evolve, "train": Train, "tune": Tune, "rollout": Rollout}
    commands |= {"export": Export, "presets": Presets, "envs": Envs}
    messages = to_stderr()
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(commands, prog="nf-policies", args=args)
        output: str = command.run(messages)
    except (ValueError, OSError) as error:
        if os.environ.get("NF_POLICIES_DEBUG"):
            raise
        messages.print(f"nf-policies: {error}{_place_of(error)}", markup=False)
        return 1
    if problem := show(output):
        messages.print(f"nf-policies: {problem}", markup=False)
    return 1 if problem else 0


def _place_of(error: Exception) -> str:
    """Where a ValueError was raised, if not in this package: in a task of the user's own, for example."""
    frames = inspect.getinnerframes(error.__traceback__, context=0) if error.__traceback__ else []
    if not isinstance(error, ValueError) or not frames or Path(__file__).parent in Path(frames[-1].filename).parents:
        return ""
    place = frames[-1]
    return f" ({place.filename}, line {place.lineno}, in {place.function}; NF_POLICIES_DEBUG=1 shows the traceback)"


if __name__ == "__main__":
    sys.exit(main())
