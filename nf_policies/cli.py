"""The command line: nf-policies evolve | train | tune | …. Nothing heavy is imported before a command runs."""

import os
import sys
import traceback
from collections.abc import Sequence
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
    from nf_policies.commands.presets import Presets
    from nf_policies.commands.rollout import Rollout
    from nf_policies.commands.train import Train
    from nf_policies.commands.tune import Tune

    commands: dict[str, Any] = {"evolve": Evolve, "train": Train, "tune": Tune, "rollout": Rollout}
    commands |= {"presets": Presets, "envs": Envs}
    config = (tyro.conf.FlagCreatePairsOff,)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(commands, prog="nf-policies", args=args, config=config)
        output: str = command.run(messages)
    except Exception as error:
        if os.environ.get("NF_POLICIES_DEBUG"):
            raise
        for line in (_sentence(error), *getattr(error, "__notes__", ())):
            messages.print(f"nf-policies: {line}", markup=False)
        return 1
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # whatever it can encode
        sys.stdout.write(output)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _sentence(error: Exception) -> str:
    """What went wrong: in code that nf-policies called, with its place, in what it was given, or in itself."""
    from nf_policies.tasks.faults import place_of

    if place := place_of(error):
        return f"{type(error).__name__}: {error} ({place}; NF_POLICIES_DEBUG=1 shows the traceback)"
    if isinstance(error, ValueError | OSError):
        return str(error)
    traceback.print_exception(error)
    return "This is a fault of nf-policies, not of your task: please report it with the traceback above."


if __name__ == "__main__":
    sys.exit(main())
