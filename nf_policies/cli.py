"""The command line: nf-policies evolve | train | tune | …. Nothing heavy is imported before a command runs."""

import os
import sys
import warnings
from collections.abc import Sequence

from nf_policies.memory import out_of_memory
from nf_policies.stopping import listening


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Words of the command line, by default the process's own.
    Returns: The exit status: 0, 1 after an error (one sentence on stderr), 2 for a wrong option, 130 after Ctrl-C, 143
        after SIGTERM, 129 where the terminal is gone.
    """
    try:
        with listening(to_the_end=args is None):
            warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
            os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
            if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
                os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # films need no display, and SDL need not look for it
            sys.path.append(os.getcwd())  # so that package.module:EnvId finds the user's own module
            return _run(args)
    except KeyboardInterrupt as stopped:
        return getattr(stopped, "status", 130)


def _run(args: Sequence[str] | None) -> int:
    from typing import Any

    import tyro

    from nf_policies.commands.envs import Envs
    from nf_policies.commands.evolve import Evolve
    from nf_policies.commands.export import Export
    from nf_policies.commands.playground import Playground
    from nf_policies.commands.presets import Presets
    from nf_policies.commands.rollout import Rollout
    from nf_policies.commands.sweep import Sweep
    from nf_policies.commands.train import Train
    from nf_policies.commands.tune import Tune
    from nf_policies.terminal import replace_closed_streams, show, to_stderr

    replace_closed_streams()
    commands: dict[str, Any] = {"evolve": Evolve, "train": Train, "tune": Tune, "sweep": Sweep, "rollout": Rollout}
    commands |= {"export": Export, "playground": Playground, "presets": Presets, "envs": Envs}
    messages = to_stderr()
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(commands, prog="nf-policies", args=args)
        if "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1" and not isinstance(command, Train):
            raise ValueError("torchrun starts several processes, which only nf-policies train uses: leave it out.")
        output: str = command.run(messages)
    except BaseException as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        messages.print(sentence, markup=False, end="\n" if sentence else "")
        return getattr(error, "status", 130 if isinstance(error, KeyboardInterrupt) else 1)
    if problem := show(output):
        messages.print(f"nf-policies: {problem}", markup=False)
    return 1 if problem else 0


def _sentence(error: BaseException) -> str | None:
    """What ended a command, and how to go on; None for what Python tells, with a traceback."""
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, KeyboardInterrupt):
        return f"{str(error) or 'Stopped.'}{notes}" if notes else ""
    if isinstance(error, SystemExit):
        return f"nf-policies: Something in the task called exit({error.code!r}).{notes}" if notes else None
    if not isinstance(error, Exception) or os.environ.get("NF_POLICIES_DEBUG"):
        return None
    words = _what(error)
    end = "" if not notes or words.endswith(".") else "."
    return f"nf-policies: {words}{end}{notes}"


def _what(error: Exception) -> str:
    """What went wrong: in code that nf-policies called, with its place, in what it was given, or in itself."""
    from nf_policies.tasks.faults import place_of

    if out_of_memory(error):
        return str(error) or "There is not enough memory"  # which Python's own error does not say
    if place := place_of(error):
        return f"{type(error).__name__}: {error} ({place}; NF_POLICIES_DEBUG=1 shows the traceback)"
    if isinstance(error, ValueError | OSError):
        return str(error)
    sys.excepthook(type(error), error, error.__traceback__)
    return "This is a fault of nf-policies, not of your task: please report it with the traceback above."


if __name__ == "__main__":
    sys.exit(main())
