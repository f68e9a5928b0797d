"""The task of a run as its options and its learner need it: spaces, what the policy sees, and facts."""

from contextlib import closing
from typing import Any, NamedTuple

from gymnasium import Space

from nf_policies.policies.spaces import ObservationEncoder, field_sizes
from nf_policies.runs.presets import Facts
from nf_policies.tasks.batched import batched_twin, is_batched
from nf_policies.tasks.make import make_task
from nf_policies.tasks.visible import velocities_of, visible_entries


class Shown(NamedTuple):
    """What a task shows to a policy."""

    observation_space: Space[Any]
    action_space: Space[Any]
    visible: list[int] | None
    """Entries of the observation that the policy sees; None for all."""
    steps: int
    """Time limit of an episode."""

    @property
    def sizes(self) -> tuple[int, int]:
        """The input_size and output_size of a field."""
        return field_sizes(self.observation_space, self.action_space, self.visible)


def shown(options: Any) -> Shown:
    """Look at the task of `RunOptions`.

    Raises: TaskError or UnsupportedSpaceError, if it cannot be made, seen or acted in.
    """
    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        entries = ObservationEncoder(env.observation_space).total
        visible = visible_entries(options.env, entries, options.hide_velocity, options.hide, velocities_of(env))
        limit: Any = env.spec
        return Shown(env.observation_space, env.action_space, visible, int(limit.max_episode_steps))


def facts_of(options: Any) -> Facts:
    """What the general settings for the task of `RunOptions` follow from."""
    task = shown(options)
    in_batches = is_batched(options.env) if options.command == "train" else batched_twin(options.env) is not None
    return Facts(*task.sizes, task.steps, in_batches)
