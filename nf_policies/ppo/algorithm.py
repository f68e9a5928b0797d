"""FieldPPO: SB3's PPO, with memory while collecting and whole sequences while learning."""

import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs, Schedule
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nf_policies.policies import Policy
from nf_policies.policies.spaces import make_head
from nf_policies.ppo.acting import make_actor
from nf_policies.ppo.actor_critic import NeuralFieldPolicy
from nf_policies.ppo.buffer import SequenceBuffer, Sequences, Transition, check_finite, each, memory_after
from nf_policies.ppo.compiled_step import Apart, Together, has_pure_step
from nf_policies.ppo.export import exported
from nf_policies.ppo.reward_scale import RewardScale
from nf_policies.ppo.vec_env import GymnasiumVecEnv


class FieldPPO(PPO):
    """Proximal policy optimisation of neural fields, with exact backpropagation through time.

        model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1").learn(100_000)
        model.export_policy("pendulum.safetensors")

    What is not named here is SB3's: the loss, the logger, callbacks, schedules, `learn`, `save` and `load`.

    Args:
        policy: "NeuralFieldPolicy", or a subclass of it.
        env: A Gymnasium id, environment or vector environment, or an SB3 VecEnv.
        learning_rate: Of the optimiser; a number, or a function of the remaining progress (1 to 0).
        n_steps: Steps of each environment per rollout.
        batch_size: Steps in a minibatch, a multiple of `seq_len`.
        n_epochs: Passes over a rollout.
        gamma: Discount.
        gae_lambda: From one-step (0) to Monte Carlo (1) advantages.
        seq_len: Length of the sequences through which gradients flow; divides `n_steps`. By default the longest that
            also divides `batch_size`.
        recompute_potentials: Whether the memory at the sequences' starts is computed anew with each epoch, rather
            than that of the rollout.
        normalize_rewards: Whether rewards are divided by the running standard deviation of the discounted return.
        compile: Whether steps while collecting are compiled with `torch.compile`, once, in some seconds: the policy's
            and, where a batched task has a pure step on the model's device, both in one. A neural field on the CPU,
            without functions of your own, steps in compiled code in any case.
        policy_kwargs: See `NeuralFieldPolicy`.
        ppo_kwargs: Further arguments of SB3's `PPO`.
    Raises: UnsupportedSpaceError or ValueError naming what does not fit.
    Reference: Schulman et al. (2017), Proximal policy optimization algorithms.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"NeuralFieldPolicy": NeuralFieldPolicy}
    policy: NeuralFieldPolicy
    rollout_buffer: SequenceBuffer
    reward_scale: RewardScale | None

    def __init__(
        self,
        policy: str | type[NeuralFieldPolicy],
        env: GymEnv | VectorEnv | str,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 1024,
        batch_size: int = 256,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        seq_len: int | None = None,
        recompute_potentials: bool = False,
        normalize_rewards: bool = False,
        compile: bool = False,
        policy_kwargs: dict[str, Any] | None = None,
        _init_setup_model: bool = True,
        **ppo_kwargs: Any,
    ) -> None:
        if isinstance(policy, type) and not issubclass(policy, NeuralFieldPolicy):
            raise ValueError(
                f"FieldPPO trains a NeuralFieldPolicy, not a {policy.__name__}: is this the file of another algorithm?"
            )
        self.seq_len, self.recompute_potentials = seq_len, recompute_potentials
        self.normalize_rewards, self.reward_scale = normalize_rewards, None
        self.compile = compile
        self._last_potentials: Tensor | None = None
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            gamma=gamma,
            gae_lambda=gae_lambda,
            policy_kwargs=policy_kwargs,
            _init_setup_model=_init_setup_model,
            **ppo_kwargs,
        )

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        make_head(env.single_action_space if isinstance(env, VectorEnv) else env.action_space)
        if isinstance(env, VectorEnv):
            return GymnasiumVecEnv(env)
        return PPO._wrap_env(env, verbose, monitor_wrapper)

    def _setup_model(self) -> None:
        length = math.gcd(self.n_steps, self.batch_size) if self.seq_len is None else self.seq_len
        if length < 1 or self.n_steps % length or self.batch_size % length:
            raise ValueError(
                f"Sequences of seq_len={length} steps must divide both n_steps={self.n_steps} and "
                f"batch_size={self.batch_size}: {math.gcd(self.n_steps, self.batch_size)} would."
            )
        self.rollout_buffer_class = SequenceBuffer
        self.rollout_buffer_kwargs = {"seq_len": length}
        super()._setup_model()
        if self.recompute_potentials:
            self.rollout_buffer.trajectories = self.policy.trajectories
        remember = self.policy.remember
        self._remember = torch.compile(remember, dynamic=False) if self.compile else remember
        self._together: Together | None = None
        self.policy.entropy_matters = self.ent_coef != 0
        if self.normalize_rewards:
            self.reward_scale = RewardScale(self.n_envs, self.gamma).to(self.device)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_last_potentials", "reward_scale", "_remember", "_together"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        modules, variables = super()._get_torch_save_params()
        return [*modules, *(["reward_scale"] if self.normalize_rewards else [])], variables

    @torch.no_grad()
    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Play `n_rollout_steps` of every environment, remembering, and fill the buffer.

        Returns: False if the callback asked to stop.
        """
        policy, buffer = self.policy, self.rollout_buffer
        policy.set_training_mode(False)
        buffer.reset()
        if self.use_sde:
            policy.reset_noise(env.num_envs)
        callback.on_rollout_start()

        extractor = policy.mlp_extractor
        before = extractor.start(env.num_envs) if self._last_potentials is None else self._last_potentials
        # Values and log-probabilities are computed afterwards, for all steps at once; while collecting, only the actor
        # is needed. Where environments take unequal numbers of steps, the critic's memory must keep up with them.
        uneven = isinstance(env, GymnasiumVecEnv) and env.mode == AutoresetMode.NEXT_STEP
        actor = make_actor(policy, before if uneven else extractor.split(before)[0], self._remember)
        turn = self._turns(env)
        obs, starts = self._last_obs, torch.as_tensor(self._last_episode_starts, device=self.device)
        begins = self.num_timesteps == 0
        n_steps = 0
        while not buffer.full:
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                policy.reset_noise(env.num_envs)
            encoded = policy.encode(self._tensors(obs))
            try:
                actions, stepped = turn(actor(encoded, starts))
            except (ValueError, AssertionError):
                check_finite("observation", encoded, buffer.pos)  # the more useful complaint, if that was why
                raise
            new_obs, rewards, terminated, truncated, dones, final_obs, real, infos = stepped
            if self.reward_scale is not None:
                rewards = self.reward_scale(rewards, dones)
            self.num_timesteps += env.num_envs if real is None else int(real.sum())
            n_steps += 1
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if isinstance(infos, list):
                self._update_info_buffer(infos, dones.cpu().numpy())

            final = None if final_obs is None else policy.encode(self._tensors(final_obs))
            if uneven or buffer.pos == buffer.buffer_size - 1:
                followed = policy.encode(self._tensors(new_obs))
                final = followed if final is None else each(partial(where_rows, dones), final, followed)
            buffer.add(Transition(encoded, starts, actions, rewards, terminated, truncated, final), real)
            obs = new_obs
            # With next-step autoreset the observation that begins an episode comes one step after its end.
            starts = dones if real is None else ~real
            self._last_obs = obs
            self._last_episode_starts = starts  # type: ignore[assignment]  # a tensor, where SB3 has an array

        stored = buffer.stored
        for what, values in (("reward", stored["rewards"]), ("observation", stored["features"])):
            check_finite(what, values)
        if begins:  # an untrained policy acts alike whatever it sees, so its first rollout may be seen normalised
            policy.learn_statistics(stored["features"])
        seen = Sequences(policy.normalize(stored["features"]), before, stored["episode_starts"])
        judged = policy.judge(seen, stored["actions"])
        if not (judged.values.sum() + judged.log_probs.sum()).isfinite():
            raise ValueError("The policy's outputs are no longer finite: training has diverged; lower learning_rate.")
        raw = stored["features"]  # which `finish` replaces
        buffer.finish(before, judged, policy.values_of)
        if not begins:
            policy.learn_statistics(raw)
        self._last_potentials = actor.memory if uneven else memory_after(judged.trajectories, -1)
        if isinstance(env, GymnasiumVecEnv) and self.ep_info_buffer is not None:
            self.ep_info_buffer.extend(env.finished_episodes(self._stats_window_size))
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _turns(self, env: VecEnv) -> Apart | Together:
        if not self.compile or not has_pure_step(env, self.device):
            return Apart(self.policy, env)
        if self._together is None or self._together.env is not env:
            self._together = Together(self.policy, env)  # type: ignore[arg-type]
        return self._together

    def _tensors(self, obs: Any) -> PyTorchObs:
        """Observations on the model's device; tensors that are there already stay as they are."""
        if isinstance(obs, Tensor):
            return obs.to(self.device)
        if isinstance(obs, dict):
            return {key: torch.as_tensor(value, device=self.device) for key, value in obs.items()}
        return obs_as_tensor(np.asarray(obs), self.device)

    def policy_of(self) -> Policy:
        """The actor as a `Policy`, deterministic and without SB3, sharing nothing with the model."""
        return exported(self)

    def export_policy(self, path: str | Path) -> None:
        """Write the actor to a policy file, the same that evolution writes.

        Raises:
            ValueError: If the file cannot describe it: a features extractor that learns, Dict observations, a field
                of your own.
            OSError: If the file cannot be written.
        """
        self.policy_of().save(path)


def where_rows(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (num_envs,) is true, else of `no`. Shapes: (num_envs, ·)."""
    return torch.where(mask.reshape(-1, *(1,) * (no.dim() - 1)), yes, no)
