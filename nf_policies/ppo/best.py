"""Keep the policy that is best on episodes of their own, as a training goes on."""

from pathlib import Path

import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.callbacks import BaseCallback

from nf_policies.policies import Policy
from nf_policies.ppo.export import exported
from nf_policies.rollouts.play import Episode, play


class KeepBest(BaseCallback):
    """Judge the actor, deterministic, every so many rollouts and write the best to a policy file.

    The episodes of a judgement begin with seeds of their own, the same in each, and are no part of the training; the
    later of two equals is kept. The target is checked on other episodes again.

    Args:
        envs: To judge in, from `nf_policies.policies.tasks.make_envs`.
        env_id: The task, kept in the file.
        path: The policy file.
        every: Judge after so many environment steps.
        episodes: Episodes of a judgement.
        seed: Of the first episode; the next have the seeds after it.
        target: Stop the training when the best returns this much on average; None for never.
        best: The best return so far, when a training goes on.
    """

    CONFIRMING = 100
    """Episodes that confirm a target, with the seeds after a judgement's."""

    def __init__(
        self,
        envs: VectorEnv,
        env_id: str,
        path: str | Path,
        *,
        every: int,
        episodes: int = 20,
        seed: int = 0,
        target: float | None = None,
        best: float = -np.inf,
    ) -> None:
        super().__init__()
        self.envs, self.env_id, self.path = envs, env_id, Path(path)
        self.every, self.episodes, self.first_seed, self.target = every, episodes, seed, target
        self.best, self.latest = best, float("nan")
        self.reached = False
        self.judgements = 0
        self.env_steps = 0
        """Steps of all judgements, beside those of the training."""

    def _init_callback(self) -> None:
        self.judged_at = self.num_timesteps

    def _on_step(self) -> bool:
        return not self.reached

    def _on_rollout_end(self) -> None:
        if self.model.num_timesteps - self.judged_at >= self.every:
            self.judge()

    def _on_training_end(self) -> None:
        if not self.reached:
            self.judge()

    def policy(self) -> Policy:
        """The best policy so far, from its file."""
        return Policy.load(self.path)

    def judge(self) -> None:
        """Play the actor as it is; keep it if none was better."""
        self.judged_at = self.model.num_timesteps
        self.judgements += 1
        policy = exported(self.model)  # type: ignore[arg-type]
        policy.env_id = self.env_id
        self.latest = self._return_of(policy, self.first_seed, self.episodes)
        if self.latest >= self.best:
            self.best = self.latest
            policy.save(self.path)
            if self.target is not None and self.best >= self.target:
                confirmed = self._return_of(policy, self.first_seed + self.episodes, self.CONFIRMING)
                self.reached = confirmed >= self.target
        self.logger.record("eval/return_mean", self.latest)
        self.logger.record("eval/return_best", self.best)

    def _return_of(self, policy: Policy, seed: int, episodes: int) -> float:
        played = play(self.envs, policy, [Episode(seed + i) for i in range(episodes)])
        self.env_steps += int(played.lengths.sum())
        if played.problem:
            raise ValueError(f"{self.env_id}: {played.problem}")
        return float(played.returns.mean())
