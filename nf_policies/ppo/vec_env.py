"""Many environments as tensors, SB3's VecEnv or Gymnasium's VectorEnv: features of observations, and one step.

Gymnasium's vector environments are wrapped so that everything of SB3 works with them. Their autoreset mode is read
from their metadata. Tensors stay tensors.
"""

from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from nf_policies.policies.spaces import ObservationEncoder, each, parts_of
from nf_policies.ppo.buffer import as_stored


class Features(BaseFeaturesExtractor):
    """Observations as a saved policy encodes them."""

    encoder: ObservationEncoder

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        self.encoder = ObservationEncoder(observation_space)
        super().__init__(observation_space, self.encoder.total)

    def forward(self, obs: PyTorchObs) -> Tensor:
        """Features (batch, n_features), float."""
        return self.encoder.of_tensors(obs).float()

    def batch(self, obs: Any, device: torch.device) -> tuple[PyTorchObs, bool]:
        """NumPy observations as tensors with a batch axis, and whether they had one."""
        batched = self.encoder.batched(obs)
        tensors = each(lambda entry: torch.as_tensor(np.asarray(entry), device=device), obs)
        return tensors if batched else each(lambda entry: entry.unsqueeze(0), tensors), batched


class Advance(NamedTuple):
    """What a step of all environments brought. Shapes: (num_envs, ·)."""

    obs: Any
    """To act on next, as the environments gave them."""
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    over: Tensor
    """Either of the two."""
    final_obs: Any
    """Last observations of the episodes that ended, elsewhere anything; None if the next `obs` are these."""
    real: Tensor | None
    """False where the step was only a reset; None if it was a step everywhere."""
    infos: Any


class Counts(NamedTuple):
    """Returns and lengths of episodes so far. Shapes: (num_envs,)."""

    returns: Tensor
    lengths: Tensor
    """-inf in an episode that is not whole: it began with a part of the time limit taken."""

    def after(self, rewards: Tensor, over: Tensor, real: Tensor | None = None) -> tuple["Counts", "Counts"]:
        """Counts with a step, and those to go on with, where new episodes begin; arguments as in `Advance`."""
        now = Counts(self.returns + rewards, self.lengths + (1 if real is None else real))
        return now, Counts(*(count.masked_fill(over, 0) for count in now))


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium vector environment as SB3 takes them, in each mode of autoreset.

    Autoreset in the next step works only directly under `FieldPPO`.

    Raises: ValueError if it does not state its mode.
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
        self.speaks_tensors = isinstance(obs, Tensor)
        self.resetting.zero_()
        self.counts, self.finished = None, []
        if stagger := getattr(self.venv.unwrapped, "stagger", None):
            self.counts = Counts(0.0 * (shorter := stagger()), torch.where(shorter, -torch.inf, 0.0))
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
            final = infos.get("final_obs")
            if final is not None and not self.speaks_tensors:  # an array of objects, None where no episode ended
                final = with_rows(obs, infos["_final_obs"], final)
        elif self.mode == AutoresetMode.NEXT_STEP:
            real = ~self.resetting
            self.resetting = over.cpu()  # `obs` are then the final ones
        elif (mask := over.cpu().numpy()).any():
            final = each(lambda o: torch.as_tensor(o, device=device).clone(), obs)
            obs, _ = self.venv.reset(options={"reset_mask": mask})
        now, self.counts = self.counts_on(device).after(rewards, over, real)
        self.finished.append((over, now))
        return Advance(obs, rewards, terminated, truncated, over, final, real, infos)

    def counts_on(self, device: torch.device) -> Counts:
        """What is counted of the episodes under way."""
        if self.counts is None:
            self.counts = Counts(*torch.zeros(2, self.num_envs))
        return Counts(*(count.to(device) for count in self.counts))

    def finished_episodes(self, most: int) -> list[dict[str, float]]:
        """Returns `r` and lengths `l` of the latest whole episodes that ended since the last call, at most so many."""
        if not self.finished:
            return []
        over = torch.stack([over for over, _ in self.finished])
        ended = torch.stack([torch.stack(tuple(counts)) for _, counts in self.finished], 1)[:, over]
        self.finished = []
        latest = ended[:, ended[1] > 0][:, -most:].tolist()
        return [{"r": r, "l": n} for r, n in zip(*latest, strict=True)]

    def infos_of(self, step: Advance) -> list[dict[str, Any]]:
        """What SB3 wants to know of the latest step, one dict per environment; Gymnasium has one of arrays."""
        over, now = self.finished[-1]
        cut = (step.truncated & ~step.terminated).tolist()
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": c} for c in cut]
        final = step.obs if step.final_obs is None else step.final_obs
        for i in over.nonzero().flatten().tolist():
            infos[i]["terminal_observation"] = each(lambda o, i=i: array(o[i]), final)
            if now.lengths[i] > 0:
                infos[i]["episode"] = {"r": float(now.returns[i]), "l": int(now.lengths[i])}
        return infos

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        if self.mode == AutoresetMode.NEXT_STEP:
            raise ValueError(
                'SB3 knows no autoreset in the next step: make the environments with vectorization_mode="sync" and '
                'vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}.'
            )
        self.actions = torch.as_tensor(actions)

    def step_wait(self) -> Any:
        """SB3's step: observations, rewards, dones and one info per environment, as NumPy arrays."""
        step = self.advance(self.actions)
        infos = self.infos_of(step)
        self.finished = []
        return each(array, step.obs), array(step.rewards), array(step.over), infos

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """One value per environment; those of the vector environment are repeated."""
        return [getattr(self.venv, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, *_: Any, **__: Any) -> Any:
        """Not possible for single environments of a batch."""
        raise NotImplementedError("The environments of a Gymnasium vector environment are set and called as a whole.")

    env_method = set_attr

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """Whether they count their episodes, which they do here, or are wrapped in anything else."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


def advance(env: VecEnv, actions: Tensor) -> Advance:
    """One step of environments with actions (num_envs, *action_space.shape)."""
    if isinstance(env, GymnasiumVecEnv):
        return env.advance(actions)
    obs, earned, dones, infos = env.step(actions.cpu().numpy().astype(env.action_space.dtype))
    cut = np.array([info.get("TimeLimit.truncated", False) for info in infos], dtype=bool) & dones
    final = with_rows(obs, cut, [info.get("terminal_observation") for info in infos]) if cut.any() else None
    given = (earned.astype(np.float32), dones & ~cut, cut, dones)
    rewards, terminated, truncated, over = (torch.as_tensor(x, device=actions.device) for x in given)
    return Advance(obs, rewards, terminated, truncated, over, final, None, infos)


def with_rows(obs: Any, where: np.ndarray, rows: Any) -> Any:
    """A copy of NumPy observations with other rows in some places."""
    copy = each(np.copy, obs)
    for i in np.flatnonzero(where):
        each(lambda room, row, i=i: room.__setitem__(i, row), copy, rows[i])
    return copy


def act(env: VecEnv, policy: Any, latents: Tensor) -> tuple[Tensor, Advance]:
    """Actions of `policy.sample` for latents (num_envs, ·), as a buffer has them, and what they brought."""
    actions = policy.sample(latents)
    return as_stored(actions), advance(env, policy.action_scaling(actions))


def side_by_side(env: Any, monitor: bool) -> VecEnv:
    """An environment as SB3 has many; unlike SB3's own, images are shown as they are, and spaces may be nested."""
    if isinstance(env, VecEnv):
        return env
    watched = Monitor(env) if monitor and not is_wrapped(env, Monitor) else env
    if any(len(keys) > 1 for keys, _ in parts_of(env.observation_space)):
        return GymnasiumVecEnv(SyncVectorEnv([lambda: watched], autoreset_mode=AutoresetMode.SAME_STEP))
    return DummyVecEnv([lambda: watched])


SEE_NOTHING = (ProgressBarCallback, CheckpointCallback, EvalCallback, ConvertCallback)
"""Callbacks that do not look at steps themselves; those that they call may."""


def is_watched(callback: Any) -> bool:
    """Whether a callback may look at the steps of a rollout."""
    if isinstance(callback, CallbackList):
        return any(map(is_watched, callback.callbacks))
    if type(callback) in SEE_NOTHING:
        return any(is_watched(getattr(callback, name, None)) for name in ("callback", "callback_on_new_best"))
    return callback is not None


def tensors_of(obs: Any, device: torch.device) -> PyTorchObs:
    """Observations on a device; tensors that are there already stay as they are."""
    return each(partial(torch.as_tensor, device=device), obs)


def array(values: Any) -> np.ndarray:
    """NumPy's form of an array or a tensor."""
    return values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
