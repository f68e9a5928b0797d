"""nf-policies train: train a policy with recurrent PPO."""

import dataclasses
import json
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import get_device

from nf_policies.commands.resuming import configuration, continued
from nf_policies.commands.watching import Watch
from nf_policies.policies import Policy
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.ppo import FieldPPO
from nf_policies.ppo.best import KeepBest
from nf_policies.ppo.checkpoint import KeepCheckpoint, load_checkpoint
from nf_policies.ppo.presets import Preset, preset_of
from nf_policies.ppo.progress import make_logger, plot_progress
from nf_policies.rollouts import Score, rollout
from nf_policies.runs.directory import CONFIG, RunError, new_run_directory, write_json
from nf_policies.tasks.side_by_side import make_envs, training_envs
from nf_policies.tasks.visible import velocities_of, visible_entries

CHECKPOINT = Path("checkpoint") / "training.safetensors"
FINAL_EPISODES = 100
JUDGING_EPISODES = 50
JUDGEMENTS = 25
"""How often in a training the policy is judged."""
CHANGEABLE = {"steps", "target", "json", "resume", "out"}
"""Options that a resumed run may have anew."""


@dataclass
class Train:
    """Train a neural field with recurrent PPO on a Gymnasium task and save the best policy.

    Options that are not given are the task's preset. The run's folder holds best.safetensors (the best of those
    judged on episodes of their own), policy.safetensors (the last), progress.csv, TensorBoard events,
    learning_curve.png and a checkpoint.
    """

    env: tyro.conf.Positional[str | None] = None
    """Task: a Gymnasium id, or package.module:EnvId. Not needed with --resume."""
    hide_velocity: bool = False
    """Hide the velocities of CartPole, MountainCar, MountainCarContinuous, Pendulum, Acrobot or LunarLander."""
    hide: tuple[int, ...] = ()
    """Indices of observation entries to hide, for any task."""
    seed: int = 0
    """Seed of everything random."""
    steps: int | None = None
    """Environment steps of the whole training, those before --resume included."""
    target: float | None = None
    """Stop when the best policy returns this much on average, confirmed over 100 fresh episodes."""
    field: Literal["neural", "simple", "gru", "lstm", "memoryless"] | None = None
    """What is trained: a NeuralField (convolution over neurons), a SimpleNeuralField (all neurons interact), or for
    comparison a GRU, an LSTM or a network without memory."""
    hidden_size: int | None = None
    """Number of neurons."""
    dynamics: Literal["linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32", "capacity_32_abs"] = "linear"
    """Potential dynamics of the simple field; the neural field's are cubic."""
    num_envs: int | None = None
    """Environments side by side."""
    n_steps: int | None = None
    """Steps of each environment between two updates."""
    batch_size: int | None = None
    """Steps in a minibatch, a multiple of --seq-len."""
    seq_len: int | None = None
    """Steps through which gradients flow; by default as long as --n-steps and --batch-size allow."""
    n_epochs: int | None = None
    """Passes over the steps of an update."""
    learning_rate: float | None = None
    """Of the first update; it falls linearly to zero with the last."""
    gamma: float | None = None
    """Discount of rewards per step."""
    gae_lambda: float | None = None
    """How far advantages look ahead: one step (0) to whole episodes (1)."""
    ent_coef: float | None = None
    """Weight of the entropy, which keeps exploration up."""
    normalize_rewards: bool | None = None
    """Divide rewards by the running standard deviation of the discounted return."""
    use_sde: bool | None = None
    """Let the noise of Box actions follow the neurons' activations (gSDE): smooth exploration."""
    sde_sample_freq: int | None = None
    """Steps after which gSDE draws new noise; -1 for once per update."""
    log_std_init: float | None = None
    """First log standard deviation of Box actions, in units of half their range."""
    device: str = "cpu"
    """Where the networks are, as torch names it; tiny policies are fastest on the CPU."""
    compile: bool = False
    """Compile the steps of the policy, and of a batched task with it: faster, after a quarter of a minute."""
    max_episode_steps: int | None = None
    """Time limit in steps, in place of the registered one."""
    out: Path | None = None
    """Folder of the run; by default the next free runs/<task>-train-001."""
    resume: Path | None = None
    """Continue the run in this folder; the episodes that were running begin anew, all else is exact."""
    json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object; progress stays on stderr."""

    def run(self, messages: Console) -> None:
        """Train until the steps are done, the target is reached or Ctrl-C; then save, draw and tell."""
        options = continued(self, CHANGEABLE, "a training") if self.resume else self
        options._check()
        options = options.with_preset()
        assert options.env is not None
        assert options.num_envs is not None
        envs = training_envs(
            options.env,
            options.num_envs,
            device=str(get_device(options.device)),
            max_episode_steps=options.max_episode_steps,
        )
        lanes = make_envs(options.env, JUDGING_EPISODES, max_episode_steps=options.max_episode_steps)
        with closing(envs), closing(lanes):
            model = new_model(options, envs)
            if self.resume:
                run_dir = self.resume
                best_return = load_checkpoint(model, run_dir / CHECKPOINT)
                model.set_random_seed(options.seed + model.num_timesteps)  # new episodes, not the first ones again
            else:
                run_dir, best_return = new_run_directory(self.out, options.env, "train"), -float("inf")
                write_json(run_dir / CONFIG, configuration(options))
            best = KeepBest(
                lanes,
                options.env,
                run_dir / "best.safetensors",
                every=max(options._total() // JUDGEMENTS, 1),
                episodes=JUDGING_EPISODES,
                seed=options.seed + 2_000_000,
                target=options.target,
                best=best_return,
            )
            began = time.perf_counter()
            reason = options._until_done(model, best, run_dir, messages)
            finish(model, best, options, run_dir, reason, time.perf_counter() - began, self.json, messages)
        if reason == "interrupted":
            messages.print(f"Stopped. To go on: nf-policies train --resume {run_dir}", markup=False)
            raise KeyboardInterrupt

    def _until_done(self, model: FieldPPO, best: KeepBest, run_dir: Path, messages: Console) -> str:
        """Train; the reason for stopping comes back."""
        model.set_logger(make_logger(run_dir, model.num_timesteps))
        # The best policy's return belongs to the checkpoint, so judging comes first.
        watch = Watch(messages, self._total(), best)
        callbacks: list[BaseCallback] = [best, KeepCheckpoint(run_dir / CHECKPOINT, best), watch]
        try:
            if model.num_timesteps < self._total():
                model.learn(self._total() - model.num_timesteps, callback=callbacks, reset_num_timesteps=False)
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            watch.close()
            model.logger.close()
        return "target" if best.reached else "steps"

    def _total(self) -> int:
        assert self.steps is not None
        return self.steps

    def with_preset(self) -> "Train":
        """These options, the task's preset where there is none."""
        assert self.env is not None
        preset = dataclasses.asdict(preset_of(self.env))
        if self.field not in (None, preset["field"]):
            preset["hidden_size"] = Preset.hidden_size  # the preset's number suits its own field
        if self.n_steps is not None or self.batch_size is not None:
            preset["seq_len"] = None  # which need not divide these
        missing = {n: v for n, v in preset.items() if hasattr(self, n) and getattr(self, n) is None}
        return dataclasses.replace(self, **missing)

    def _check(self) -> None:
        if self.env is None:
            raise RunError("Which task? Name a Gymnasium id, for example: nf-policies train CartPole-v1.")
        for name in ("steps", "num_envs", "hidden_size", "n_steps", "batch_size", "n_epochs", "seq_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
        if self.seed < 0:
            raise RunError(f"--seed must be 0 or more, not {self.seed}.")
        try:
            torch.zeros((), device=get_device("auto") if self.device == "auto" else self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise RunError(f"There is no device {self.device!r} here: use --device cpu.") from error


def new_model(options: Train, envs: VectorEnv, **policy_kwargs: Any) -> FieldPPO:
    """The model to train, at its start.

    Args:
        options: With no preset left to fill in.
        envs: To train in.
        policy_kwargs: Further options of `NeuralFieldPolicy`.
    """
    assert options.env is not None
    assert options.learning_rate is not None
    space = envs.single_observation_space
    entries = ObservationEncoder(space).total
    hidden = options.hide_velocity, options.hide, velocities_of(envs)
    first_rate = options.learning_rate
    names = ("n_steps", "batch_size", "seq_len", "n_epochs", "gamma", "gae_lambda", "ent_coef", "normalize_rewards")
    is_box = isinstance(envs.single_action_space, Box)
    return FieldPPO(
        "NeuralFieldPolicy",
        envs,
        learning_rate=lambda remaining: first_rate * max(remaining, 0.0),  # the last rollout may pass the end
        use_sde=bool(options.use_sde) and is_box,
        sde_sample_freq=options.sde_sample_freq if options.sde_sample_freq is not None else -1,
        policy_kwargs={
            "field": options.field,
            "hidden_size": options.hidden_size,
            "visible": visible_entries(options.env, entries, *hidden),
            "log_std_init": options.log_std_init,
            "field_kwargs": {"dynamics": options.dynamics} if options.field == "simple" else {},
        }
        | policy_kwargs,
        seed=options.seed,
        device=options.device,
        compile=options.compile,
        **{name: getattr(options, name) for name in names},
    )


def finish(
    model: FieldPPO,
    best: KeepBest,
    options: Train,
    run_dir: Path,
    reason: str,
    seconds: float,
    as_json: bool,
    messages: Console,
) -> None:
    """Save the last policy, draw the curve, play the best one on fresh episodes, and tell."""
    assert options.env is not None
    last = model.policy_of()
    last.env_id = options.env
    last.save(run_dir / "policy.safetensors")
    plot_progress(run_dir, title=f"{options.env}, {last.n_parameters} parameters")
    if reason == "interrupted":
        return
    score = final_score(best.policy(), options)
    result = score.summary() | {
        "env_steps": model.num_timesteps,
        "evaluations": best.judgements,
        "judging_steps": best.env_steps,
        "wall_seconds": seconds,
        "stop_reason": reason,
        "run_dir": str(run_dir),
        "policy": str(best.path),
    }
    write_json(run_dir / "result.json", result)
    if as_json:
        print(json.dumps(result))
        return
    why = {"target": "the target is reached", "steps": "all steps are done"}
    print(f"{score}")
    print(
        f"{why[reason]}: {model.num_timesteps:,} environment steps of training, {best.env_steps:,} of judging, "
        f"{seconds:.1f} seconds"
    )
    print(f"saved {best.path}; play it with: nf-policies rollout {best.path}")


def final_score(policy: Policy, options: Train) -> Score:
    """A policy's score on a hundred episodes that neither training nor judging has seen."""
    assert options.env is not None
    return rollout(
        policy,
        options.env,
        episodes=FINAL_EPISODES,
        seed=options.seed + 1_000_000,
        max_episode_steps=options.max_episode_steps,
    )
