"""nf-policies train: train a policy with recurrent PPO."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rich.console import Console

from nf_policies.commands.options import Begun, RunOptions, Switch, pairs
from nf_policies.commands.start import start_policy
from nf_policies.runs.directory import RunError

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from nf_policies.commands.task import Shown
    from nf_policies.policies.policy import Policy
    from nf_policies.ppo.algorithm import FieldPPO
    from nf_policies.ranks import Ranks
    from nf_policies.rollouts.play import Evaluator
    from nf_policies.rollouts.score import Score

Kind = Literal["neural", "simple", "gru", "lstm", "memoryless"]
SCORE_EPISODES = 100
EVALUATION_EPISODES = 10
ENVS_MAX = 64


@dataclass
class Train(RunOptions):
    """Train a neural field with recurrent PPO on a Gymnasium task and save the best policy.

    Options that are not given are the task's preset. The run's folder holds best.safetensors (the best on episodes
    kept for evaluation), policy.safetensors (the last), progress.csv, TensorBoard events, learning_curve.png,
    result.json and a checkpoint. A resumed training begins new episodes; all else is exact.
    """

    command = "train"
    near_start: ClassVar = {"log_std_init": -1.0}
    positive = (*RunOptions.positive, "num_envs", "n_steps", "batch_size", "n_epochs", "seq_len", "horizon_growth")

    field: Kind | None = None  # A NeuralField, a SimpleNeuralField, or for comparison a GRU, an LSTM or no memory.
    num_envs: int | None = None  # Environments side by side.
    workers: int | None = None  # Environments in a process each, instead; by default where a step takes a millisecond.
    n_steps: int | None = None  # Steps of each environment between two updates.
    batch_size: int | None = None  # Steps in a minibatch, a multiple of --seq-len.
    seq_len: int | None = None  # Steps through which gradients flow; by default what --n-steps and --batch-size allow.
    n_epochs: int | None = None  # Passes over the steps of an update.
    learning_rate: float | None = None  # Of the first update; it falls linearly to zero with the last.
    gamma: float | None = None  # Discount of rewards per step, at first.
    horizon_growth: float | None = None  # By what factor 1 / (1 - gamma) grows to the end; 1 where --gamma is given.
    gae_lambda: float | None = None  # How far advantages look ahead: one step (0) to whole episodes (1).
    ent_coef: float | None = None  # Weight of the entropy, which keeps exploration up.
    normalize_rewards: Switch = None  # Divide rewards by the running standard deviation of the discounted return.
    use_sde: Switch = None  # Noise of Box actions follows the neurons' activations (gSDE): smooth exploration.
    sde_sample_freq: int | None = None  # Steps after which gSDE draws new noise; -1 for once per update.
    privileged_critic: Switch = None  # Whether the critic, not saved, sees what is hidden from the policy.
    log_std_init: float | None = None  # First log standard deviation of Box actions, in units of half their range.
    evaluation_share: float | None = None  # Steps of evaluations that choose the best, as a share of those of training.
    evaluation_envs: int | None = None  # Of their own for evaluations and the score; 0 if those of training are given.
    compile: bool = False  # Compile the policy, and a batched task with it: faster, after a quarter of a minute.

    def from_preset(self, preset: dict[str, Any]) -> dict[str, Any]:
        """Values for the options that are not given."""
        if self.n_steps is not None or self.batch_size is not None:
            preset["seq_len"] = None  # the preset's need not divide these
        if self.gamma is not None:
            preset["horizon_growth"] = 1.0
        asked = self.num_envs is not None or self.workers or (self.workers is None and preset["workers"])
        own = {"evaluation_envs": 0 if asked else ENVS_MAX} if self.evaluation_envs is None else {}
        return super().from_preset(preset) | own

    def run(self, messages: Console) -> str:
        """Train until the steps are done, the target is reached or Ctrl-C. Returns the text for stdout."""
        from nf_policies.commands.backends import own_gpu
        from nf_policies.ranks import ranks_of_torchrun
        from nf_policies.tasks.faults import errors_of

        with ranks_of_torchrun() as ranks:
            options = self._agreed(ranks)
            if options is None:
                return ""
            own_gpu(options.device, ranks)
            if ranks.size > 1:  # short minibatches, but thousands of them: compiling pays
                os.environ.setdefault("NF_POLICIES_FUSED", "1")
            with errors_of(str(options.env)):
                if ranks.number:
                    return follow_first(options, ranks)
                with options.told(messages).begun(ranks) as begun:
                    session = options.session(begun.learner, begun.score, messages, **begun.more)
                    messages.print(begun.playing, markup=False)
                    output = session.run(resume=self.resume is not None, as_json=self.json)
                    ranks.told()  # that there is nothing left to do
                    return output

    def _agreed(self, ranks: "Ranks") -> Any:
        """The options as the first rank resolves them; None in the others if it cannot, which it tells."""
        if ranks.number:
            return ranks.told()
        try:
            options = self.resolved()
        except BaseException:
            ranks.told()
            raise
        return ranks.told(options)

    @contextmanager
    def begun(self, ranks: "Ranks | None" = None) -> Iterator[Begun]:
        """Resolved options as a training at its start, in environments that are closed in the end."""
        options: Any = self
        from nf_policies.commands.backends import in_words
        from nf_policies.commands.sizes import bytes_in_words, rollout_bytes
        from nf_policies.commands.task import check_file, shown
        from nf_policies.ppo.training import Training
        from nf_policies.ranks import ALONE

        ranks, task, workers = ranks or ALONE, shown(options), options.workers or 0
        rollout = rollout_bytes(options, workers or options.num_envs, task)
        mine = share_of(options, ranks)
        envs = environments(mine)
        with closing(envs):
            evaluator, judging, is_shared = judging_beside(envs, options)
            with closing(judging):
                model = new_model(mine, envs, task)
                training = Training(model, evaluator, options.seed, share=options.evaluation_share)
                training.longest, training.shares_envs, training.ranks = task.limit.steps, is_shared, ranks
                check_file(training.last(), task)
                if options.start:
                    training.evaluate()  # what training does not make better is kept

                def score(policy: "Policy", *_: Any) -> "Score":
                    return final_score(policy, options, judging if is_shared else None)

                playing = (
                    f"playing {options.env}: in {in_words(workers or options.num_envs, workers)}"
                    f"{f' of {ranks.size} ranks' * (ranks.size > 1)}, a policy of "
                    f"{training.last().n_parameters:,} parameters, rollouts of {bytes_in_words(rollout)}, "
                    f"{training.episodes} episodes or more to evaluate and {SCORE_EPISODES} for the score"
                )
                yield Begun(options, training, score, playing, {"env_spec": task.env_spec})


def share_of(options: Any, ranks: "Ranks") -> Any:
    """What each rank does of resolved options: a share of the environments, and of each minibatch.

    Raises: RunError naming what cannot be shared.
    """
    if ranks.size == 1:
        return options
    shared = ["workers" if options.workers else "num_envs", "batch_size"]
    for name in shared:
        if (number := getattr(options, name)) % ranks.size:
            more = ranks.size * (number // ranks.size + 1)
            option = "--" + name.replace("_", "-")
            raise RunError(f"{ranks.size} processes cannot share {option} {number} equally: use {option} {more}.")
    return dataclasses.replace(options, **{name: getattr(options, name) // ranks.size for name in shared})


def environments(options: Any) -> "VectorEnv":
    """The environments of a training."""
    from nf_policies.commands.backends import device_of
    from nf_policies.commands.task import asked
    from nf_policies.tasks.side_by_side import training_envs

    how: Any = {"workers": options.workers or 0, "step_timeout": options.step_timeout}
    return training_envs(asked(options), options.num_envs, device=device_of(options.device), **how)


def follow_first(options: Any, ranks: "Ranks") -> str:
    """Train in a rank that is not the first, and writes nothing. Returns: The text for stdout, which is empty."""
    from nf_policies.commands.task import seed_globally, shown
    from nf_policies.ppo.together import follow

    seed_globally(options.seed + ranks.number)
    mine = share_of(options, ranks)
    with closing(environments(mine)) as envs:
        follow(new_model(mine, envs, shown(options)), ranks)
    return ""


def judging_beside(envs: "VectorEnv", options: Any) -> "tuple[Evaluator, VectorEnv, bool]":
    """What plays whole episodes during a training, its environments, and whether they are those of the training.

    They are where the user has said how many there are, for there may be no others of a simulator.
    """
    from nf_policies.commands.backends import played_on
    from nf_policies.commands.task import asked
    from nf_policies.rollouts.play import evaluator_of
    from nf_policies.tasks.batched import simulated
    from nf_policies.tasks.side_by_side import for_episodes

    shared = for_episodes(envs) if options.evaluation_envs == 0 else None
    if shared is not None:
        return evaluator_of(shared), shared, True
    task = asked(options)
    task = dataclasses.replace(task, env_id=simulated(task) or task.env_id)
    evaluator, judging, _ = played_on(task, min(EVALUATION_EPISODES, evaluation_envs(options)), moments=False)
    return evaluator, judging, False


def new_model(options: Any, envs: "VectorEnv", task: "Shown", **policy_kwargs: Any) -> "FieldPPO":
    """The model to train, at its start: of resolved options of `Train`, of what their task shows, and further options.

    The latter are those of `NeuralFieldPolicy`.
    """
    from gymnasium.spaces import Box

    from nf_policies.commands.backends import device_of
    from nf_policies.ppo.algorithm import FieldPPO
    from nf_policies.ppo.export import like, take_over

    first_rate = options.learning_rate
    names = ("n_steps", "batch_size", "seq_len", "n_epochs", "gamma", "gae_lambda", "ent_coef", "normalize_rewards")
    policy = {
        **{name: getattr(options, name) for name in ("field", "hidden_size", "log_std_init")},
        "visible": task.visible,
        "privileged_critic": bool(options.privileged_critic),
        "field_kwargs": pairs(options.field_option),
    }
    start = start_policy(options, task)
    if start is not None:
        policy |= {**like(start), "critic_hidden_size": options.hidden_size}
    model = FieldPPO(
        "NeuralFieldPolicy",
        envs,
        learning_rate=lambda remaining: first_rate * max(remaining, 0.0),  # the last rollout may pass the end
        use_sde=bool(options.use_sde) and isinstance(envs.single_action_space, Box),
        sde_sample_freq=-1 if options.sde_sample_freq is None else options.sde_sample_freq,
        policy_kwargs=policy | policy_kwargs,
        seed=options.seed,
        device=device_of(options.device),
        compile=options.compile,
        horizon_growth=options.horizon_growth or 1.0,  # runs of earlier versions have none
        **{name: getattr(options, name) for name in names},
    )
    model.names = task.names._asdict()
    if task.change_gains is not None:
        model.policy.feel_changes(task.change_gains)
    if start is not None:
        take_over(model.policy, start)
    return model


def evaluation_envs(options: Any) -> int:
    """How many environments play evaluations and the score, where those of training do not."""
    return int(options.evaluation_envs or min(options.num_envs, ENVS_MAX))


def final_score(policy: "Policy", options: Any, envs: "VectorEnv | None" = None) -> "Score":
    """A policy's score on a hundred episodes that neither training nor evaluation has seen, in given or new `envs`."""
    from nf_policies.commands.backends import played_on
    from nf_policies.commands.task import asked
    from nf_policies.rollouts.play import FINAL, evaluator_of, first_seed
    from nf_policies.rollouts.score import score_of
    from nf_policies.tasks.side_by_side import limit_in

    how: Any = {"episodes": SCORE_EPISODES, "seed": first_seed(options.seed, FINAL)}
    if envs is not None:
        return score_of(policy, evaluator_of(envs), options.env, limit=limit_in(envs), **how)
    evaluator, made, _ = played_on(asked(options), evaluation_envs(options), moments=False)
    with closing(made):
        return score_of(policy, evaluator, options.env, limit=limit_in(made), **how)
