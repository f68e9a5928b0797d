"""Tell a training's progress: a line with return, steps per second and time left, on a terminal or in a log."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import safe_mean

from nf_policies.ppo.best import KeepBest


class Watch(BaseCallback):
    """Keep a bar up to date; without a terminal, print a line after each twentieth of the training.

    Args:
        messages: Where to.
        total: Environment steps of the whole training.
        best: Whose returns are told.
    """

    LINES = 20

    def __init__(self, messages: Console, total: int, best: KeepBest) -> None:
        super().__init__()
        self.messages, self.total, self.best = messages, total, best
        self.bar = Progress(
            TextColumn("{task.fields[line]}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=messages,
            disable=not messages.is_terminal,
        )

    def _on_training_start(self) -> None:
        self.first_steps, self.began, self.told = self.model.num_timesteps, time.perf_counter(), 0
        self.task = self.bar.add_task("", total=self.total, completed=self.first_steps, line="collecting")
        self.bar.start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._tell()

    def _on_training_end(self) -> None:
        self._tell()

    def _tell(self) -> None:
        steps = self.model.num_timesteps
        rate = (steps - self.first_steps) / (time.perf_counter() - self.began)
        episodes = self.model.ep_info_buffer or ()
        of_training = f"{safe_mean([episode['r'] for episode in episodes]):.1f}" if episodes else "-"
        line = f"{steps:,} steps, return {of_training} in training, {self.best.best:.1f} at best, {rate:,.0f} steps/s"
        self.bar.update(self.task, completed=min(steps, self.total), line=line)
        share = self.LINES * steps // self.total
        if not self.messages.is_terminal and share > self.told:
            self.told = share
            left = max(self.total - steps, 0) / rate
            self.messages.print(f"{line}, {left:.0f} s left", markup=False)

    def close(self) -> None:
        """Leave the last line standing."""
        self.bar.stop()
