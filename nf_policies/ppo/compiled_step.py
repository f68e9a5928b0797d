"""One step of policy and batched task in one compiled function, several times as fast as dozens of small operations."""

from collections.abc import Callable
from typing import Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nf_policies.kernels.compiling import compile_torch, options, where_possible
from nf_policies.policies.policy import Memory
from nf_policies.ppo.buffer import as_stored
from nf_policies.ppo.vec_env import Advance, Counts, GymnasiumVecEnv


class CompiledMemory(Memory):
    """A memory whose steps are taken by `nf_policies.policies.policy.step`, compiled, where no `Stepper` takes them."""

    def __init__(self, advance: Callable[..., Any], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.advance = advance

    @torch.no_grad()
    def step(self, features: Tensor, episode_starts: Tensor) -> Tensor:
        """As that of `Memory`."""
        if self.stepper is not None:
            return super().step(features, episode_starts)
        if self.entries is not None:
            features = features.index_select(-1, self.entries)
        now = features, self.potentials, episode_starts
        trace = self.advance(self.field, self.normalizer, *now, self.coefficients)
        self.potentials = trace.potentials
        return trace.outputs


def potentials_of(memories: list[Memory]) -> Tensor:
    """Potentials of several memories side by side. Shape: (num_envs, memory_size)."""
    return torch.cat([memory.potentials for memory in memories], dim=-1)


class CompiledStep:
    """The policy draws its actions and the task answers, compiled again if the task's constants change.

    Args:
        policy: A `NeuralFieldPolicy` on the device of the task.
        env: `has_pure_step(env)` must hold.
    """

    def __init__(self, policy: Any, env: GymnasiumVecEnv) -> None:
        self.policy, self.env = policy, env
        self.venv: Any = env.venv
        self._compile()

    def _compile(self) -> None:
        self.params = self.venv.params
        fast = compile_torch(self._step, dynamic=False, **options(self.env.num_envs))
        self._take = where_possible(fast, self._step)

    def __call__(self, latents: Tensor) -> tuple[Tensor, Advance]:
        """Actions as a rollout keeps them, of latents (num_envs, ·), and the environments' answer."""
        env, venv = self.env, self.venv
        if venv.lanes is None:
            raise ValueError("Reset the environments before the first step.")
        if self.params is not venv.params:
            self._compile()
        counts = env.counts_on(latents.device)
        actions, answer, now, venv.lanes, env.counts = self._take(latents, venv.lanes, counts)
        env.finished.append((answer.over, now))
        return actions, answer

    def _step(self, latents: Tensor, lanes: Any, counts: Counts) -> tuple[Any, ...]:
        actions = self.policy.sample(latents)
        lanes, obs, rewards, terminated, truncated, info = self.venv.pure_step(
            lanes, self.policy.action_scaling(actions)
        )
        over = terminated | truncated
        answer = Advance(obs, rewards, terminated, truncated, over, info["final_obs"], None, info)
        now, counts = counts.after(rewards, over)
        return as_stored(actions), answer, now, lanes, counts


def has_pure_step(env: VecEnv, device: torch.device) -> bool:
    """Whether the environments' step is also a function of tensors of a device, with autoreset in the same step."""
    if not isinstance(env, GymnasiumVecEnv) or env.mode != AutoresetMode.SAME_STEP:
        return False
    venv: VectorEnv = env.venv
    if not hasattr(venv, "pure_step") or venv.device != torch.empty(0, device=device).device:  # type: ignore[attr-defined]
        return False
    if not getattr(venv.func_env, "compilable", True):  # type: ignore[attr-defined]
        return False
    # A class that changes only `step` keeps its own.
    definers = [next(c for c in type(venv).__mro__ if name in vars(c)) for name in ("step", "pure_step")]
    return definers[0] is definers[1]
