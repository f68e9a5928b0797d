"""What a run asks of a learner. `Evolution` and `Training` are learners, and whatever has these members is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

State = tuple[dict[str, Any], dict[str, Tensor]]
"""Everything that a learner needs to continue: JSON values, and tensors."""


class Policy(Protocol):
    """What a run does with a policy: it says what the policy is for and how it was made, and saves it."""

    env_id: str | None
    env_spec: dict[str, Any] | None
    made_by: dict[str, Any]

    @property
    def n_parameters(self) -> int: ...  # noqa: D102
    def save(self, path: Path) -> None: ...  # noqa: D102


class Learner(Protocol):
    """Improves a policy step by step.

    Attributes:
        kind: Stored in checkpoints, so that no learner loads another's.
        columns: Of progress.csv. The first one counts up and orders the rows; "env_steps" is among them.
        tags: TensorBoard's tag of a column, by default `kind/column`.
        curves: Label of each column drawn in the learning curve; the last one is the return of the best policy so far.
        last_panel: Column drawn below it.
        iteration: Steps of the learner so far.
        env_steps: Environment steps that count against the budget.
        improved_at: `env_steps` when the best policy last got better; 0 before there is one.
        is_judged: Whether the last policy has been compared with the best one; else the end of the run does that.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def tags(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def curves(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def last_panel(self) -> str: ...  # noqa: D102
    @property
    def iteration(self) -> int: ...  # noqa: D102
    @property
    def env_steps(self) -> int: ...  # noqa: D102
    @property
    def improved_at(self) -> int: ...  # noqa: D102
    @property
    def is_judged(self) -> bool: ...  # noqa: D102

    def step(self, used: float) -> Mapping[str, float]:
        """Play and learn once; `used` of the run's budget, from 0 to 1, is spent before.

        Returns: A row of the table; what is missing or NaN is left empty.
        """

    def conclude(self) -> Mapping[str, float]:
        """The budget is spent: judge what is left to judge. Returns further cells of the last row."""

    def reached(self, target: float) -> bool:
        """Whether the best policy returns `target` on average, confirmed on fresh episodes."""

    def count(self, steps: int) -> None:
        """Add environment steps that the run has played elsewhere, to confirm a target."""

    def best(self) -> Policy:
        """The best policy so far."""

    def last(self) -> Policy:
        """The policy as it is now."""

    def state(self) -> State:
        """What `load` needs to continue exactly."""

    def load(self, state: State) -> None:
        """Continue from a state. Raises ValueError, in one sentence, if it does not fit."""

    def summary(self) -> dict[str, Any]:
        """Further entries of result.json, for example how many evaluations there were."""

    def line(self) -> str:
        """Progress in one line, for people."""
