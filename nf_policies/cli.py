"""The command line: nf-policies evolve | train | tune | …. Nothing heavy is imported before a command runs."""

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Words of the command line, by default the process's own.
    Returns: The exit status: 0, 1 after an error (one sentence on stderr), 2 for a wrong option, 130 after Ctrl-C.
    """
    try:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # films need no display, and SDL need not look for one
        sys.path.append(os.getcwd())  # so that package.module:EnvId finds the user's own module
        return _run(args)
    except KeyboardInterrupt:
        return 130


def _run(args: Sequence[str] | None) -> int:
    import tyro
    from rich.console import Console

    from nf_policies.commands.envs import Envs
    from nf_policies.commands.evolve import Evolve
    from nf_policies.commands.export import Export
    from nf_policies.commands.presets import Presets
    from nf_policies.commands.rollout import Rollout
    from nf_policies.commands.train import Train
    from nf_policies.commands.tune import Tune

    commands: dict[str, Any] = {"evolve": Evolve, "train": Train, "tune": Tune, "rollout": Rollout}
    commands |= {"export": Export, "presets": Presets, "envs": Envs}
    config = (tyro.conf.FlagCreatePairsOff,)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(commands, prog="nf-policies", args=args, config=config)
        output: str = command.run(messages)
    except (ValueError, OSError) as error:
        if os.environ.get("NF_POLICIES_DEBUG"):
            raise
        messages.print(f"nf-policies: {error}{_place_of(error)}", markup=False)
        return 1
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # whatever it can encode
        sys.stdout.write(output)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _place_of(error: Exception) -> str:
    """Where a ValueError was raised, if not in this package: in a task of the user's own, for example."""
    frames = inspect.getinnerframes(error.__traceback__, context=0) if error.__traceback__ else []
    if not isinstance(error, ValueError) or not frames or Path(__file__).parent in Path(frames[-1].filename).parents:
        return ""
    place = frames[-1]
    return f" ({place.filename}, line {place.lineno}, in {place.function}; NF_POLICIES_DEBUG=1 shows the traceback)"


if __name__ == "__main__":
    sys.exit(main())
