"""The command line: nf-policies evolve | train | rollout | envs."""

import inspect
import os
import sys
from collections.abc import Sequence
from typing import Annotated

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # films need no display, and SDL need not look for one

import tyro
from rich.console import Console

from nf_policies.commands.envs import Envs
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.rollout import Rollout
from nf_policies.commands.train import Train

Command = (
    Annotated[Evolve, tyro.conf.subcommand("evolve", description=inspect.getdoc(Evolve))]
    | Annotated[Train, tyro.conf.subcommand("train", description=inspect.getdoc(Train))]
    | Annotated[Rollout, tyro.conf.subcommand("rollout", description=inspect.getdoc(Rollout))]
    | Annotated[Envs, tyro.conf.subcommand("envs", description=inspect.getdoc(Envs))]
)

INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Words of the command line, by default the process's own.
    Returns: The exit status: 0, 1 after an error told in one sentence, 2 for a wrong option, 130 after Ctrl-C.
    """
    sys.path.append(os.getcwd())  # so that package.module:EnvId finds the user's own module
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        command = tyro.cli(Command, prog="nf-policies", args=args, config=(tyro.conf.FlagCreatePairsOff,))
        command.run(messages)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("NF_POLICIES_DEBUG"):
            raise
        messages.print(f"nf-policies: {error}", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
