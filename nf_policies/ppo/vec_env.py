"""One step of many environments as tensors, whoever they come from: SB3's VecEnv or Gymnasium's VectorEnv.

Gymnasium's vector environments are wrapped so that everything of SB3 works with them. Their autoreset mode is read
from their metadata. Those that speak torch tensors are never converted.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nf_policies.ppo.buffer import each


class Advance(NamedTuple):
    """What a step of all environments brought. Shapes: (num_envs, ·)."""

    obs: Any
    """To act on next, as the environments gave them."""
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    over: Tensor
    """Either of the two."""
    final_obs: PyTorchObs | None
    """Last observations of the episodes that ended, elsewhere anything; None if the next `obs` are these."""
    real: Tensor | None
    """False where the step was only a reset; None if it was a step everywhere."""
    infos: Any


class Counts(NamedTuple):
    """Returns and lengths of episodes so far. Shapes: (num_envs,)."""

    returns: Tensor
    lengths: Tensor

    def after(self, rewards: Tensor, over: Tensor, real: Tensor | None = None) -> tuple["Counts", "Counts"]:
        """Counts with a step, and those to go on with, where new episodes begin; arguments as in `Advance`."""
        now = Counts(self.returns + rewards, self.lengths + (1 if real is None else real))
        return now, Counts(*(count.masked_fill(over, 0) for count in now))


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium vector environment as SB3 takes them.

    Args:
        venv: With autoreset in the same step, in the next step (only directly under `FieldPPO`) or disabled.
    Raises: ValueError if it does not state its autoreset mode.
    """

    def __init__(self, venv: VectorEnv) -> None:
        self.venv = venv
        mode = venv.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"{type(venv.unwrapped).__name__} does not state its autoreset mode: set metadata['autoreset_mode'] to "
                "a gymnasium.vector.AutoresetMode."
            )
        self.mode = mode
        super().__init__(venv.num_envs, venv.single_observation_space, venv.single_action_space)
        self.resetting = torch.zeros(venv.num_envs, dtype=torch.bool)
        self.counts: Counts | None = None
        self.finished: list[tuple[Tensor, Counts]] = []

    def reset(self) -> Any:
        """First observations, in the environment's own arrays or tensors."""
        seeds: Any = None if self._seeds[0] is None else int(self._seeds[0])
        self._reset_seeds()
        obs, _ = self.venv.reset(seed=seeds)
        self.speaks_tensors = isinstance(next(iter(obs.values())) if isinstance(obs, dict) else obs, Tensor)
        self.resetting.zero_()
        self.counts, self.finished = None, []
        return obs

    def advance(self, actions: Tensor) -> Advance:
        """Step with actions (num_envs, *action_space.shape)."""
        sent = actions if self.speaks_tensors else actions.cpu().numpy().astype(self.action_space.dtype)
        obs, *signals, infos = self.venv.step(sent)
        device = actions.device
        rewards, terminated, truncated = (torch.as_tensor(x, device=device) for x in signals)
        rewards, over = rewards.float(), terminated | truncated
        final, real = None, None
        if self.mode == AutoresetMode.SAME_STEP:
            final = self._final(obs, infos)
        elif self.mode == AutoresetMode.NEXT_STEP:
            real = ~self.resetting
            self.resetting = over.cpu()  # `obs` are then the final ones
        elif (mask := over.cpu().numpy()).any():
            final = obs_as_tensor(each(np.copy, obs), device)
            obs, _ = self.venv.reset(options={"reset_mask": mask})
        now, self.counts = self.counts_on(device).after(rewards, over, real)
        self.finished.append((over, now))
        return Advance(obs, rewards, terminated, truncated, over, final, real, infos)

    def _final(self, obs: Any, infos: dict[str, Any]) -> Any:
        if "final_obs" not in infos:
            return None
        final = infos["final_obs"]
        if self.speaks_tensors:
            return final
        # Gymnasium gives an array of objects, None where no episode ended.
        dense = each(np.copy, obs)
        for i in np.flatnonzero(infos["_final_obs"]):
            each(lambda room, o, i=i: room.__setitem__(i, o), dense, final[i])
        return obs_as_tensor(dense, torch.device("cpu"))

    def counts_on(self, device: torch.device) -> Counts:
        """What is counted of the episodes under way."""
        if self.counts is None:
            self.counts = Counts(*torch.zeros(2, self.num_envs, device=device))
        return self.counts

    def finished_episodes(self, most: int) -> list[dict[str, float]]:
        """Returns `r` and lengths `l` of the latest episodes that ended since the last call, at most so many."""
        if not self.finished:
            return []
        over = torch.stack([over for over, _ in self.finished])
        returns, lengths = (torch.stack(counts)[over] for counts in zip(*(c for _, c in self.finished), strict=True))
        self.finished = []
        ended = torch.stack((returns, lengths))[:, -most:].tolist()
        return [{"r": r, "l": n} for r, n in zip(*ended, strict=True)]

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        if self.mode == AutoresetMode.NEXT_STEP:
            raise ValueError(
                "SB3 knows no autoreset in the next step: make the vector environment with "
                'vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}.'
            )
        self.actions = torch.as_tensor(actions)

    def step_wait(self) -> Any:
        """SB3's step: observations, rewards, dones and one info per environment, as NumPy arrays."""
        obs, rewards, terminated, truncated, over, final, _, _ = self.advance(self.actions)
        dones = over.cpu().numpy()
        cut = (truncated & ~terminated).cpu().numpy()
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(c)} for c in cut]
        for i in np.flatnonzero(dones):
            infos[i]["terminal_observation"] = each(lambda o, i=i: o[i].cpu().numpy(), final)
        for info, episode in zip([infos[i] for i in np.flatnonzero(dones)], self.finished_episodes(10**9), strict=True):
            info["episode"] = episode
        return each(np.asarray, obs), rewards.cpu().numpy(), dones, infos

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """One value per environment; those of the vector environment are repeated."""
        return [getattr(self.venv, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible for single environments of a batch."""
        raise NotImplementedError("The environments of a Gymnasium vector environment are set as a whole.")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not possible for single environments of a batch."""
        raise NotImplementedError("The environments of a Gymnasium vector environment are called as a whole.")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """Whether they count their episodes, which they do here, or are wrapped in anything else."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


def advance(env: VecEnv, actions: Tensor) -> Advance:
    """One step of SB3 environments or of a Gymnasium vector environment.

    Args:
        env: The environments.
        actions: Of the task. Shape: (num_envs, *action_space.shape).
    """
    if isinstance(env, GymnasiumVecEnv):
        return env.advance(actions)
    obs, rewards, dones, infos = env.step(actions.cpu().numpy().astype(env.action_space.dtype))
    cut = np.array([info.get("TimeLimit.truncated", False) for info in infos], dtype=bool) & dones
    final = None
    if cut.any():
        dense = each(np.copy, obs)
        for i in np.flatnonzero(cut):
            each(lambda room, o, i=i: room.__setitem__(i, o), dense, infos[i]["terminal_observation"])
        final = obs_as_tensor(dense, actions.device)
    device = actions.device
    return Advance(
        obs,
        torch.as_tensor(rewards, dtype=torch.float32, device=device),
        torch.as_tensor(dones & ~cut, device=device),
        torch.as_tensor(cut, device=device),
        torch.as_tensor(dones, device=device),
        final,
        None,
        infos,
    )
