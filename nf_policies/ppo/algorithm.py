"""FieldPPO: SB3's PPO, with memory while collecting and whole sequences while learning."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nf_policies.kernels.compiling import compile_torch
from nf_policies.policies.kinds import make_head
from nf_policies.policies.numbers import check_numbers
from nf_policies.policies.policy import Memory, Policy, step
from nf_policies.policies.spaces import each
from nf_policies.ppo.actor_critic import NeuralFieldPolicy
from nf_policies.ppo.buffer import Evaluated, Outcome, SequenceBuffer, Sequences, memory_after, where_rows
from nf_policies.ppo.callbacks import acted_of, brought_by
from nf_policies.ppo.compiled_step import CompiledMemory, CompiledStep, has_pure_step, potentials_of
from nf_policies.ppo.distributions import OwnRandom
from nf_policies.ppo.export import exported
from nf_policies.ppo.first_statistics import FirstStatistics
from nf_policies.ppo.reward_scale import RewardScale
from nf_policies.ppo.saving import load_model, read_parameters, save_model
from nf_policies.ppo.together import as_one
from nf_policies.ppo.vec_env import Advance, GymnasiumVecEnv, act, is_watched, side_by_side, tensors_of
from nf_policies.ranks import ALONE, Ranks


class FieldPPO(PPO):
    """Proximal policy optimisation of neural fields, with exact backpropagation through time.

        model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1").learn(100_000)
        model.export_policy("pendulum.safetensors")

    What is not named here is SB3's: the loss, the logger, callbacks, schedules and `learn`. Random numbers are the
    model's own; nothing global is seeded.

    Args:
        policy: "NeuralFieldPolicy", or a subclass of it.
        env: A Gymnasium id, environment or vector environment, or an SB3 VecEnv.
        learning_rate: A number, or a function of the remaining progress (1 to 0).
        n_steps: Steps of each environment per rollout.
        batch_size: Steps in a minibatch, a multiple of `seq_len`.
        seq_len: Length of the sequences through which gradients flow; divides `n_steps`. By default the longest that
            also divides `batch_size`.
        recompute_potentials: Whether the memory at the sequences' starts is computed anew with each epoch.
        normalize_rewards: Whether rewards are divided by the running standard deviation of the discounted return.
        horizon_growth: Factor, 1 or more, by which 1 / (1 - gamma) has grown by the last update (arXiv:1512.02011).
        compile: Whether `torch.compile` compiles steps while collecting, once, in some seconds: the policy's, together
            with the task's where that has a pure step. A neural field on the CPU is compiled in any case.
        ppo_kwargs: Further arguments of SB3's `PPO`: `n_epochs`, `gamma`, `policy_kwargs` (see `NeuralFieldPolicy`), …
    Raises: UnsupportedSpaceError or ValueError naming what does not fit.
    Reference: Schulman et al. (2017), Proximal policy optimization algorithms.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"NeuralFieldPolicy": NeuralFieldPolicy}
    policy: NeuralFieldPolicy
    rollout_buffer: SequenceBuffer
    reward_scale: RewardScale | None = None
    ranks: Ranks = ALONE  # which `nf_policies.ppo.together.join` sets
    _last_potentials: Tensor | None = None

    def __init__(
        self,
        policy: str | type[NeuralFieldPolicy],
        env: GymEnv | VectorEnv | str | None,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 1024,
        batch_size: int = 256,
        *,
        seq_len: int | None = None,
        recompute_potentials: bool = False,
        normalize_rewards: bool = False,
        horizon_growth: float = 1.0,
        compile: bool = False,
        **ppo_kwargs: Any,
    ) -> None:
        if isinstance(policy, type) and not issubclass(policy, NeuralFieldPolicy):
            raise ValueError(f"FieldPPO trains a NeuralFieldPolicy, not a {policy.__name__}.")
        if not 1 <= horizon_growth <= 1e6:
            raise ValueError(f"horizon_growth must be from 1 to 1,000,000, not {horizon_growth}.")
        self.seq_len, self.recompute_potentials = seq_len, recompute_potentials
        self.normalize_rewards, self.horizon_growth, self.compile = normalize_rewards, horizon_growth, compile
        self.names: dict[str, Sequence[str]] = {}
        super().__init__(policy, env, learning_rate, n_steps, batch_size, **ppo_kwargs)  # type: ignore[arg-type]

    def _wrap_env(self, env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:  # type: ignore[override]
        make_head(env.single_action_space if isinstance(env, VectorEnv) else env.action_space)
        if isinstance(env, VectorEnv):
            return GymnasiumVecEnv(env)
        if any(self.policy_kwargs.get(name) for name in ("features_extractor_class", "normalize_images")):
            return PPO._wrap_env(env, verbose, monitor_wrapper)  # which shows images channels first
        return side_by_side(env, monitor_wrapper)

    def _setup_model(self) -> None:
        length = math.gcd(self.n_steps, self.batch_size) if self.seq_len is None else self.seq_len
        if length < 1 or self.n_steps % length or self.batch_size % length:
            raise ValueError(
                f"Sequences of seq_len={length} steps must divide both n_steps={self.n_steps} and "
                f"batch_size={self.batch_size}: {math.gcd(self.n_steps, self.batch_size)} would."
            )
        self.rollout_buffer_class, self.rollout_buffer_kwargs = SequenceBuffer, {"seq_len": length}
        self.random = OwnRandom(self.device, self.seed)
        with self.random.drawn():
            super()._setup_model()
        if self.recompute_potentials:
            self.rollout_buffer.trajectories = lambda obs: self.policy.run(obs)[2]
        self._compiled_step: CompiledStep | None = None
        self.policy.entropy_matters = self.ent_coef != 0
        if self.normalize_rewards:
            self.reward_scale = RewardScale(self.n_envs).to(self.device)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed the random numbers of the model, of its environments and of its action space; nothing global."""
        if seed is None:
            return
        self.random.seed(seed)
        self.action_space.seed(seed)
        if self.env is not None:
            self.env.seed(seed)

    def train(self) -> None:
        """Update the parameters with the rollout that was collected last."""
        together = as_one(self) if self.ranks.size > 1 else nullcontext()
        with self.random.drawn(), self.rollout_buffer.standardising(self), together:
            super().train()

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions and the next memory; see `NeuralFieldPolicy.predict`."""
        with nullcontext() if deterministic else self.random.drawn():
            return self.policy.predict(observation, state, episode_start, deterministic)

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Play `n_rollout_steps` of every environment and fill the buffer. Returns: False if the callback stops it."""
        try:
            with torch.no_grad(), self.random.drawn():
                before = self.num_timesteps
                go_on = self._collect(env, callback)
                self.num_timesteps = before + sum(self.ranks.all_of(self.num_timesteps - before))
                return go_on
        except BaseException:
            self._last_obs = None  # observation and memory may be of two moments: begin new episodes
            raise

    def _collect(self, env: VecEnv, callback: BaseCallback) -> bool:
        """As `collect_rollouts`."""
        # Values and log-probabilities come afterwards, all at once; the critic runs along where steps are uneven.
        policy, buffer = self.policy, self.rollout_buffer
        policy.begin_rollout()
        buffer.reset()
        remaining = max(self._current_progress_remaining, 0.0)
        buffer.gamma = 1 - (1 - self.gamma) * self.horizon_growth ** (remaining - 1)
        if self.use_sde:
            policy.reset_noise(env.num_envs)
        callback.on_rollout_start()

        uneven = isinstance(env, GymnasiumVecEnv) and env.mode == AutoresetMode.NEXT_STEP
        before = policy.start(env.num_envs) if self._last_potentials is None else self._last_potentials
        step_envs, watched = self._step_of(env), is_watched(callback)
        memories = policy.memories(before, uneven or watched, self._memory)
        first = FirstStatistics(policy, self.n_steps) if policy.normalizes and not policy.normalizer.count > 0 else None
        n_steps, go_on = 0, True
        while go_on and not buffer.full:
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                policy.reset_noise(env.num_envs)
            obs = tensors_of(self._last_obs, self.device)
            obs_tensor = each(torch.clone, obs) if watched else None
            kept: Any = policy.encode(obs)
            starts = torch.as_tensor(self._last_episode_starts, device=self.device)
            if first is not None and first.follow(kept):
                memories = policy.memories(potentials_of(memories), uneven or watched, self._memory)
            # Copied now, because the environments may write the next observations into the same memory.
            buffer.begin(kept, starts, None if first is None else policy.normalize(kept), wait=uneven)  # type: ignore[arg-type]
            features: Any = policy.extract_features(kept) if policy.extractor_learns else kept
            outputs = [memory.step(features, starts) for memory in memories]
            try:
                actions, now = step_envs(outputs[0][:, : policy.latent_size])
            except (ValueError, AssertionError):
                check_numbers("observation", kept, buffer.pos)  # the more useful complaint, if that was why
                raise
            self.num_timesteps += env.num_envs if now.real is None else int(now.real.sum())
            if watched:
                here = {"self": self, "rollout_buffer": buffer, "obs_tensor": obs_tensor, "n_steps": n_steps}
                here |= acted_of(policy, outputs, actions) | {"n_rollout_steps": self.n_steps}
                callback.update_locals(here | {"env": env, "callback": callback} | brought_by(env, now))
            go_on, n_steps = callback.on_step(), n_steps + 1
            if go_on:
                self._store(actions, now)
            # With next-step autoreset the observation that begins an episode comes one step after its end.
            starts = now.over if now.real is None else ~now.real
            self._last_obs, self._last_episode_starts = now.obs, starts  # type: ignore[assignment]  # SB3 has an array

        if go_on:
            evaluated = self._evaluate(before, first)
            self._last_potentials = potentials_of(memories) if uneven else memory_after(evaluated.trajectories, -1)
            if isinstance(env, GymnasiumVecEnv) and self.ep_info_buffer is not None:
                for episodes in self.ranks.all_of(env.finished_episodes(self._stats_window_size)):
                    self.ep_info_buffer.extend(episodes)
            callback.update_locals({"self": self, "env": env, "rollout_buffer": buffer})
            callback.on_rollout_end()
        elif uneven or policy.critic is None:
            self._last_potentials = potentials_of(memories)
        else:  # whose memory has not followed
            seen = policy.normalize(buffer.so_far("features")) if first is None else buffer.so_far("seen")
            steps = Sequences(seen, before, buffer.so_far("episode_starts"))
            self._last_potentials = memory_after(policy.run(steps)[2], -1)
        return go_on

    def _store(self, actions: Tensor, now: Advance) -> None:
        """Keep what a step brought."""
        policy, buffer = self.policy, self.rollout_buffer
        if isinstance(now.infos, list):
            self._update_info_buffer(now.infos, now.over.cpu().numpy())
        final = None if now.final_obs is None else policy.encode(tensors_of(now.final_obs, self.device))
        if now.real is not None or buffer.pos == buffer.buffer_size - 1:
            followed = policy.encode(tensors_of(now.obs, self.device))
            final = followed if final is None else each(partial(where_rows, now.over), final, followed)
        buffer.add(Outcome(actions, now.rewards, now.terminated, now.truncated, final), now.real)

    def _evaluate(self, before: Tensor, first: FirstStatistics | None) -> Evaluated:
        """Values, log-probabilities and advantages of the rollout that began with the memory `before`."""
        policy, buffer = self.policy, self.rollout_buffer
        stored = buffer.stored
        kept = stored["features"]
        for what, values in (("reward", stored["rewards"]), ("observation", kept)):
            check_numbers(what, values)
        if self.reward_scale is not None:
            stored["rewards"] = self.reward_scale(stored["rewards"], stored["episode_starts"], buffer.gamma)
        seen = policy.normalize(kept) if first is None else stored["seen"]
        evaluated = policy.evaluate_rollout(Sequences(seen, before, stored["episode_starts"]), stored["actions"])
        if not (evaluated.values.sum() + evaluated.log_probs.sum()).isfinite():
            raise ValueError("The policy's outputs are no longer finite: training has diverged; lower learning_rate.")
        buffer.finish(before, evaluated, policy.values_of)
        policy.learn_statistics(kept) if first is None else first.learn()
        policy.learn_changes(kept, stored["episode_starts"])
        return evaluated

    @cached_property
    def _memory(self) -> Callable[..., Memory]:
        return partial(CompiledMemory, compile_torch(step, dynamic=False)) if self.compile else Memory

    def _step_of(self, env: VecEnv) -> Callable[[Tensor], tuple[Tensor, Advance]]:
        """From latents (num_envs, ·) to actions as a buffer has them and the environments' answer."""
        if not (self.compile and has_pure_step(env, self.device)):
            return partial(act, env, self.policy)
        if self._compiled_step is None or self._compiled_step.env is not env:
            self._compiled_step = CompiledStep(self.policy, env)  # type: ignore[arg-type]
        return self._compiled_step

    def policy_of(self) -> Policy:
        """The actor as a `Policy`, deterministic and without SB3, sharing nothing with the model.

        Raises: ValueError if it could not act as the model does, naming what is in the way.
        """
        policy = exported(self.policy, NeuralFieldPolicy, self.env)
        policy.names = self.names
        policy.made_by = {"method": "FieldPPO", "env_steps": self.num_timesteps, "seed": self.seed}
        return policy

    def export_policy(self, path: str | Path) -> None:
        """Write the actor to a policy file, the same that evolution writes; errors as of `policy_of`."""
        self.policy_of().save(path)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        modules, variables = super()._get_torch_save_params()
        return [*modules, *(["reward_scale"] if self.normalize_rewards else [])], variables

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """Take the parameters of a file, or of `get_parameters()`; as SB3's."""
        given = load_path_or_dict
        super().set_parameters(given if isinstance(given, dict) else read_parameters(given), exact_match, device)

    def save(self, path: str | Path) -> None:  # type: ignore[override]
        """Write the model to one file; a warning names what is of your own and must be given to `load` again."""
        save_model(self, path)

    @classmethod
    def load(  # type: ignore[override]
        cls, path: str | Path, env: GymEnv | VectorEnv | None = None, device: Any = "auto", **arguments: Any
    ) -> Self:
        """Read a model from its file; nothing in it is executed.

        Without `env` it only predicts. `arguments` of the constructor take the place of those in the file.

        Raises: ModelFileError if the file is missing, damaged, of another kind, or needs one of the arguments.
        """
        return load_model(cls, path, env, device, arguments)
