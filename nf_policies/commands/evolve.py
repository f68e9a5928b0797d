"""nf-policies evolve: evolve a policy with CMA-ES."""

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from nf_policies.commands.options import Begun, Repeated, RunOptions, pairs, words
from nf_policies.commands.stored import CALL

if TYPE_CHECKING:
    from nf_policies.evolution.evolution import Evolution
    from nf_policies.policies.policy import Policy
    from nf_policies.rollouts.play import Evaluator

GYMNASIUM_ENVS = 128
SCORE_EPISODES = 100


@dataclass
class Evolve(RunOptions):
    """Evolve a neural field with CMA-ES on a Gymnasium task and save the best policy.

    Options that are not given are the task's preset. The run's folder holds best.safetensors (the best on fresh
    episodes), policy.safetensors (the mean of the search), progress.csv, TensorBoard events, learning_curve.png,
    result.json and a checkpoint.
    """

    command = "evolve"
    changeable = ("generations", "steps", "target", "workers", *CALL)
    positive = (*RunOptions.positive, "generations", "episodes", "episodes_max")

    field: Literal["simple", "neural"] | None = None  # Neurons that all interact (simple), or a convolution (neural).
    generations: int | None = None  # Stop after this many generations, those before --resume included.
    population: int | None = None  # Candidates per generation.
    episodes: int | None = None  # Episodes per candidate and generation, the same for all of a generation.
    episodes_max: int | None = None  # Episodes grow up to this number while chance decides which candidate looks best.
    sigma: float | None = None  # First standard deviation of the search, in units of each parameter's scale.
    sigma_min: float | None = None  # Lower bound of the standard deviation.
    scale: Repeated = ()  # NAME=FACTOR: change the natural scale of parameters whose names begin with NAME. Repeatable.
    restarts: Literal["none", "ipop", "bipop"] | None = None  # When converged: larger (ipop), or also small (bipop).
    restart_after: int | None = None  # Restart after this many generations.
    objective: str = "mean"  # Maximised of the returns: mean, worst:K (mean of the K worst) or cvar:SHARE (of a share).
    normalise: bool | None = None  # Whether observations are normalised by what has been seen.
    self_excitation: float | None = None  # Start value of a simple field's interaction of each neuron with itself.
    backend: Literal["auto", "gymnasium", "batched"] = "auto"  # Gymnasium's environments or their batched twin, if any.
    engine: Literal["auto", "eager", "compiled"] = "auto"  # How a batched task runs; compiling pays for long runs.
    workers: int = 0  # Play in this many processes, if a step of the task takes a millisecond or more.

    def from_preset(self, preset: dict[str, Any]) -> dict[str, Any]:
        """Values for the options that are not given."""
        scale = words({**preset.pop("scale"), **pairs(self.scale)})
        if self.generations is not None:
            preset["steps"] = None
        if self.episodes is not None:
            preset["episodes_max"] = self.episodes
        return {**super().from_preset(preset), "scale": scale}

    def _continued(self) -> "Evolve":
        options = super()._continued()
        if (self.generations, self.steps) != (None, None):  # a new budget replaces the old one whole
            return dataclasses.replace(options, generations=self.generations, steps=self.steps)
        return options

    def run(self, messages: Console) -> str:
        """Evolve until the budget is spent, the target is reached or Ctrl-C. Returns the text for stdout."""
        with self.resolved().begun() as begun:
            session = begun.options.session(begun.learner, begun.score, messages, **begun.more)
            messages.print(begun.playing, markup=False)
            return session.run(resume=self.resume is not None, as_json=self.json)

    @contextmanager
    def begun(self) -> Iterator[Begun]:
        """Resolved options as an evolution at its start, in environments that are closed in the end."""
        options: Any = self
        from nf_policies.commands.backends import batched_task, device_of
        from nf_policies.rollouts.engine import Engine, engine_mode
        from nf_policies.rollouts.play import CHOICE, CONFIRMATION, FINAL, evaluate, first_seed
        from nf_policies.rollouts.score import Score, rollout, score_of
        from nf_policies.tasks.batched import make_batched
        from nf_policies.tasks.side_by_side import make_envs

        policy = new_policy(options)
        env_id, limit, workers = options.env, options.max_episode_steps, options.workers
        device, at_once = device_of(options.device), options.population * options.episodes
        batched = batched_task(env_id, options.backend, device=device, workers=workers)
        if batched:
            envs: Any = make_batched(batched, device=device, max_episode_steps=limit)
            if options.engine == "auto":
                ahead = options.steps or (options.generations or 1) * at_once * int(envs.max_episode_steps)
                options = dataclasses.replace(options, engine=engine_mode(ahead, at_once))
            evaluator: Evaluator = Engine(envs, mode=options.engine, moments=bool(options.normalise))
            same = "" if batched == env_id else f", which equals {env_id} step by step"
            how = "compiled, which takes a while the first time" if options.engine == "compiled" else "eager"
            playing = f"playing {batched}{same}: {at_once} episodes at once on {device}, {how}"
        else:
            envs = make_envs(env_id, min(at_once, GYMNASIUM_ENVS), workers=workers, max_episode_steps=limit)
            evaluator = functools.partial(evaluate, envs)
            playing = f"playing {env_id} in {envs.num_envs} Gymnasium environments"
        options = dataclasses.replace(options, backend="batched" if batched else "gymnasium")
        purposes = {"confirmation": CONFIRMATION, "choice": CHOICE, "final": FINAL}

        def score(policy: "Policy", purpose: str, iteration: int) -> Score:
            seed = first_seed(options.seed, purposes[purpose], iteration)
            if batched == env_id or workers:
                return score_of(policy, evaluator, env_id, episodes=SCORE_EPISODES, seed=seed)
            return rollout(policy, env_id, episodes=SCORE_EPISODES, seed=seed, max_episode_steps=limit)

        with closing(envs):
            evolution = new_evolution(options, policy, evaluator)
            more = {"is_twin": batched not in (None, env_id), "extra": {"backend": options.backend}}
            yield Begun(options, evolution, score, playing, more)


def new_policy(options: Any) -> "Policy":
    """The policy at its start, of resolved options of `Evolve`."""
    from nf_policies.evolution.start import start_field
    from nf_policies.fields.options import fitting
    from nf_policies.policies.policy import Policy
    from nf_policies.policies.spaces import ObservationEncoder, field_sizes
    from nf_policies.tasks.make import make_task
    from nf_policies.tasks.visible import velocities_of, visible_entries

    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        spaces, velocities = (env.observation_space, env.action_space), velocities_of(env)
    entries = ObservationEncoder(spaces[0]).total
    visible = visible_entries(options.env, entries, options.hide_velocity, options.hide, velocities)
    input_size, output_size = field_sizes(*spaces, visible)
    more = {"self_excitation": options.self_excitation, "seed": options.seed}
    with fitting():
        given = pairs(options.field_option)
        field = start_field(options.field, input_size, output_size, options.hidden_size, **more, **given)
    return Policy(field, *spaces, visible=visible, env_id=options.env)


def new_evolution(options: Any, policy: "Policy", evaluator: "Evaluator") -> "Evolution":
    """The evolution at its start, of resolved options of `Evolve`."""
    from nf_policies.evolution.evolution import Evolution
    from nf_policies.evolution.objective import objective_of

    same = ("seed", "episodes", "sigma", "sigma_min", "restarts", "restart_after", "normalise")
    return Evolution(
        policy,
        evaluator,
        episodes_max=max(options.episodes, options.episodes_max or 1),
        pop_size=options.population,
        objective=objective_of(options.objective),
        scales=pairs(options.scale),
        **{name: getattr(options, name) for name in same},
    )
