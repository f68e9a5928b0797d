"""nf-policies evolve: evolve a policy with CMA-ES."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rich.console import Console

from nf_policies.commands.options import Begun, OneAddress, Repeated, RunOptions, Switch, pairs, words
from nf_policies.commands.start import OF_START, start_policy

if TYPE_CHECKING:
    from nf_policies.commands.task import Shown
    from nf_policies.evolution.evolution import Evolution
    from nf_policies.policies.policy import Policy
    from nf_policies.rollouts.play import Evaluator

Restarts = Literal["none", "grow", "ipop", "bipop"]
GYMNASIUM_ENVS = 128
SCORE_EPISODES = 100
GROWN_MAX = 100
"""Parameters of a policy that grows; one that has more at its start keeps its size."""


@dataclass
class Evolve(RunOptions):
    """Evolve a neural field with CMA-ES on a Gymnasium task and save the best policy.

    Options that are not given are the task's preset. The run's folder holds best.safetensors (the best on fresh
    episodes), policy.safetensors (the mean of the search), progress.csv, TensorBoard events, learning_curve.png,
    result.json and a checkpoint.
    """

    command = "evolve"
    changeable = (*RunOptions.changeable, "workers")
    near_start: ClassVar = {"sigma": 0.1}
    positive = (*RunOptions.positive, "generations", "population_max", "episodes", "episodes_max", "horizon")

    field: Literal["simple", "neural"] | None = None  # Neurons that all interact (simple), or a convolution (neural).
    generations: int | None = None  # Stop after this many generations, those before --resume included.
    population: int | None = None  # Candidates per generation.
    population_max: int | None = None  # Candidates grow up to this number, and then episodes, while chance decides.
    episodes: int | None = None  # Episodes per candidate and generation, the same for all of a generation.
    episodes_max: int | None = None  # Episodes grow up to this number while chance decides which candidate looks best.
    horizon: int | None = None  # Steps of an episode at first: they become more where candidates last so long.
    sigma: float | None = None  # First standard deviation of the search, in units of each parameter's scale.
    sigma_min: float | None = None  # Lower bound of the standard deviation.
    scale: Repeated = ()  # NAME=FACTOR: change the natural scale of parameters whose names begin with NAME. Repeatable.
    restarts: Restarts | None = None  # After one at rest: for stretches, then a larger one (grow), or pycma's.
    restart_after: int | None = None  # Restart after this many generations.
    objective: str = "mean"  # Maximised of the returns: mean, worst:K (mean of the K worst) or cvar:SHARE (of a share).
    normalise: Switch = None  # Whether observations are normalised by what has been seen.
    self_excitation: float | None = None  # Start value of a simple field's interaction of each neuron with itself.
    output_weight: float | None = None  # Start value of the weight to each output from a neuron of its own.
    backend: Literal["auto", "gymnasium", "batched"] = "auto"  # Gymnasium's environments or their batched twin, if any.
    engine: Literal["auto", "eager", "compiled"] = "auto"  # How a batched task runs; compiling pays for long runs.
    workers: int | None = None  # Play in this many processes; by default one per core where a step takes a millisecond.
    ray: OneAddress = None  # Play on the Ray cluster at HOST:PORT, or on one started here; on --workers or all CPUs.

    def from_preset(self, preset: dict[str, Any]) -> dict[str, Any]:
        """Values for the options that are not given."""
        scale = words({**preset.pop("scale"), **pairs(self.scale)})
        preset |= {f"{name}_max": n for name in ("population", "episodes") if (n := getattr(self, name)) is not None}
        if self.ray is not None:  # the cores of this machine do not matter
            preset["workers"] = None
        return {**super().from_preset(preset), "scale": scale}

    def run(self, messages: Console) -> str:
        """Evolve until the budget is spent, the target is reached or Ctrl-C. Returns the text for stdout."""
        from nf_policies.tasks.faults import errors_of

        options = self.resolved()
        with errors_of(str(options.env)), options.told(messages).begun() as begun:
            session = begun.options.session(begun.learner, begun.score, messages, **begun.more)
            messages.print(begun.playing, markup=False)
            return session.run(resume=self.resume is not None, as_json=self.json)

    @contextmanager
    def begun(self) -> Iterator[Begun]:
        """Resolved options as an evolution at its start, in environments that are closed in the end."""
        options: Any = self
        from nf_policies.commands.backends import batched_task, device_of, operations_of_step, played_on, played_on_ray
        from nf_policies.commands.task import asked, check_file, shown
        from nf_policies.rollouts.fused import eager_seconds, engine_mode
        from nf_policies.rollouts.play import CHOICE, CONFIRMATION, FINAL, first_seed
        from nf_policies.rollouts.score import Score, rollout, score_of

        task, seen = asked(options), shown(options)
        policy = new_policy(options, seen)
        check_file(policy, seen)
        on_ray = options.ray is not None
        env_id, workers = options.env, 0 if on_ray else options.workers or 0
        device, at_once = device_of(options.device), (options.population + 1) * options.episodes  # the mean plays along
        batched = batched_task(task, options.backend, device=device, workers=workers)
        played_as = dataclasses.replace(task, env_id=batched or env_id)
        if batched and options.engine == "auto":
            operations = operations_of_step(played_as, policy)
            steps = options.steps or (options.generations or 1) * at_once * seen.limit.steps
            ahead = 60 * options.minutes / 5 if options.minutes else eager_seconds(operations, steps, at_once)
            mode = engine_mode(max(ahead, eager_seconds(operations, seen.limit.steps)))
            options = dataclasses.replace(options, engine=mode)  # a fifth of the minutes may go into compiling
        how = {"backend": options.backend, "device": device, "mode": options.engine, "moments": bool(options.normalise)}
        how |= {"workers": options.workers if on_ray else workers, "timeout": options.step_timeout}
        if on_ray:
            evaluator, envs, where = played_on_ray(played_as, options.ray, **how)
        else:
            evaluator, envs, where = played_on(played_as, min(at_once, GYMNASIUM_ENVS), **how)
        is_twin = batched not in (None, env_id)
        same = f", which equals {env_id} step by step" if is_twin else ""
        options = dataclasses.replace(options, backend="batched" if batched else "gymnasium")
        purposes = {"confirmation": CONFIRMATION, "choice": CHOICE, "final": FINAL}

        def score(policy: "Policy", purpose: str, iteration: int) -> Score:
            seed = first_seed(options.seed, purposes[purpose], iteration)
            if not is_twin:  # the same task, of which there may be no second one
                of_score: Any = {"episodes": SCORE_EPISODES, "seed": seed, "limit": seen.limit}
                return score_of(policy, evaluator, env_id, **of_score)
            return rollout(policy, task, episodes=SCORE_EPISODES, seed=seed)

        with closing(envs):
            evolution = new_evolution(options, policy, evaluator, seen)
            more = {"is_twin": is_twin, "extra": {"backend": options.backend}, "env_spec": seen.env_spec}
            size = f"{policy.n_parameters:,} parameters, {options.population} candidates on {options.episodes} episodes"
            playing = f"playing {batched or env_id}{same}: {where}, {size}, {SCORE_EPISODES} for the score"
            yield Begun(options, evolution, score, playing, more)


def new_policy(options: Any, task: "Shown") -> "Policy":
    """The policy at its start, of resolved options of `Evolve` and what their task shows."""
    from nf_policies.evolution.start import start_field
    from nf_policies.fields.options import fitting
    from nf_policies.policies.policy import Policy

    if policy := start_policy(options, task):
        return policy
    n_inputs, n_outputs = task.sizes
    settings = {name: getattr(options, name) for name in (*OF_START, "seed")}
    start: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}  # as in older runs
    more = pairs(options.field_option)
    with fitting():  # which says what is given twice
        field = start_field(options.field, n_inputs, n_outputs, options.hidden_size, **start, **more)
    if task.change_gains is not None:
        field.change_gain.copy_(task.change_gains if task.visible is None else task.change_gains[task.visible])
    policy = Policy(field, *task[:2], visible=task.visible, env_id=options.env)
    policy.names = task.names._asdict()
    return policy


def new_evolution(options: Any, policy: "Policy", evaluator: "Evaluator", task: "Shown") -> "Evolution":
    """The evolution at its start, of resolved options of `Evolve`."""
    from nf_policies.evolution.evolution import Evolution
    from nf_policies.evolution.objective import objective_of
    from nf_policies.evolution.stages import larger

    def grown(stage: int) -> "Policy":
        first = policy.field.hidden_size
        sizes = range(first * larger(stage)[1], first, -1)
        policies = (new_policy(dataclasses.replace(options, hidden_size=neurons), task) for neurons in sizes)
        return next((p for p in policies if p.n_parameters <= GROWN_MAX), None) or new_policy(options, task)

    grow = options.restarts == "grow" and not options.start
    same = ("seed", "episodes", "sigma", "sigma_min", "restart_after")
    # A policy that was made without statistics would be another one with them.
    as_it_is = options.start and not policy.normalizer.count > 0
    return Evolution(
        policy,
        evaluator,
        episodes_max=max(options.episodes, options.episodes_max or 1),
        pop_size=options.population,
        pop_size_max=options.population_max or 0,
        horizon=None if options.start or not options.horizon else (options.horizon, task.limit.steps),
        objective=objective_of(options.objective),
        scales=pairs(options.scale),
        normalise=options.normalise and not as_it_is,
        grow=grown if grow else None,
        restarts="none" if options.restarts == "grow" else options.restarts,
        **{name: getattr(options, name) for name in same},
    )
