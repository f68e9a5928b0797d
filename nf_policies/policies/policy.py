"""Policy: a normaliser in front of a field, an action head behind it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor, nn

from nf_policies.fields.dynamics import Coefficients, reset
from nf_policies.fields.field import Field, Trace
from nf_policies.fields.parameters import ParameterVector
from nf_policies.policies.cells import Cell
from nf_policies.policies.playing import Playing
from nf_policies.policies.spaces import ObservationEncoder, finite_problem, make_head

CLIP = 10.0
"""Normalised features are clipped to ± this many standard deviations."""
EPSILON = 1e-8


class Normalizer(nn.Module):
    """Subtract the mean and divide by the standard deviation of all features seen by `update`.

    The identity until the first update. A forward pass never changes the statistics, so evaluation is frozen by
    construction.

    Args:
        size: Number of features.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.var: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features, clipped to ± CLIP. Shapes: (..., size)."""
        standardized = (features - self.mean) / (self.var + EPSILON).sqrt()
        return torch.where(self.count > 0, standardized.clamp(-CLIP, CLIP), features)

    def in_place(self, features: Tensor, entries: Tensor | None = None) -> Callable[[], object]:
        """A function that normalises some memory in place, many times, with the statistics as they are now.

        Args:
            features: The memory. Shape: (..., size).
            entries: Which features it holds; None for all. Shape: (n,), integer.
        """
        if not self.count > 0:
            return lambda: features
        mean, std = self.mean, (self.var + EPSILON).sqrt()
        if entries is not None:
            mean, std = mean[entries], std[entries]
        mean, std = (t.expand_as(features).clone(memory_format=torch.contiguous_format) for t in (mean, std))
        return lambda: features.sub_(mean).div_(std).clamp_(-CLIP, CLIP)

    @torch.no_grad()
    def update(self, count: float, mean: Tensor, var: Tensor) -> None:
        """Merge the statistics of a batch: its size, mean and (biased) variance, both of shape (size,).

        Reference: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample
            variances.
        """
        if count <= 0:
            return
        total = self.count + count
        share = count / total
        delta = mean.to(self.mean) - self.mean
        self.var.copy_((1 - share) * self.var + share * var.to(self.var) + share * (1 - share) * delta**2)
        self.mean.add_(share * delta)
        self.count.copy_(total)


def field_sizes(
    observation_space: Space[Any], action_space: Space[Any], visible: Sequence[int] | None = None
) -> tuple[int, int]:
    """The input_size and output_size that a field needs for these spaces.

    Raises:
        UnsupportedSpaceError: If a space cannot be used, naming it.
    """
    return ObservationEncoder(observation_space, visible).size, make_head(action_space).output_size


class Policy(nn.Module):
    """From observation to action through a neural field.

        policy = Policy(SimpleNeuralField(2, 1), env.observation_space, env.action_space, visible=[0, 2])
        action = policy.act(obs, episode_start=True)

    Args:
        field: A `NeuralField` or `SimpleNeuralField`, or a cell of `nf_policies.policies.cells`, of the sizes that
            `field_sizes` tells.
        observation_space: Of a single environment.
        action_space: Of a single environment.
        visible: Indices of the observation's entries that the policy sees; None for all.
        env_id: The task it is for, kept in the file.
        squash: How Box actions stay within bounds, "tanh" or "clip".
    Raises:
        UnsupportedSpaceError: If a space cannot be used, naming it.
        ValueError: If the field's sizes do not fit the spaces.
    """

    field: Any
    """A `Field`, or a `Cell`, which has the same interface as far as a policy uses it."""

    def __init__(
        self,
        field: Field | Cell,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        visible: Sequence[int] | None = None,
        env_id: str | None = None,
        squash: str = "tanh",
    ) -> None:
        super().__init__()
        self.encode = ObservationEncoder(observation_space, visible)
        self.observation_space, self.action_space, self.env_id = observation_space, action_space, env_id
        self.normalizer = Normalizer(self.encode.size)
        self.field = field
        self.head = make_head(action_space, squash)
        needed = (self.encode.size, self.head.output_size)
        if (field.input_size, field.output_size) != needed:
            raise ValueError(
                f"These spaces need a field with input_size={needed[0]} and output_size={needed[1]}, not "
                f"{field.input_size} and {field.output_size}."
            )
        self.made_by: dict[str, Any] = {}
        self._potentials: Tensor | None = None
        self._playing: Playing | None = None

    @property
    def n_parameters(self) -> int:
        """Number of learnable parameters; the normaliser's statistics are not among them."""
        return self.field.n_parameters

    @property
    def visible(self) -> tuple[int, ...] | None:
        """Indices of the observation's entries that the policy sees; None for all."""
        return self.encode.visible

    def forward(
        self, features: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run over a sequence of encoded observations, with exact gradients.

        Args:
            features: Encoded observations. Shape: (time, batch, input_size), as the field takes them.
            potentials: Before the first step. Shape: (batch, hidden_size), by default the initial ones.
            episode_starts: True where a new episode begins before a step. Shape: (time, batch).
        Returns: The head's inputs (time, batch, output_size) and potentials (time, batch, hidden_size).
        """
        return self.field(self.normalizer(features), potentials, episode_starts)

    def coefficients(self, parameters: Tensor | None = None) -> Coefficients:
        """The field's coefficients for `step`, one lane per row of parameters.

        Args:
            parameters: Parameter vectors (lanes, n_parameters), by default the own one, for any number of lanes.
        """
        vector = ParameterVector.of(self.field)
        return self.field.coefficients(vector.split(vector.start[None] if parameters is None else parameters))

    def step(
        self, features: Tensor, potentials: Tensor, episode_starts: Tensor, coefficients: Coefficients
    ) -> tuple[Tensor, Trace]:
        """One step of many episodes side by side, one lane each; the memory is the caller's.

        Lanes are computed independently of each other: a lane gives the same bits in any company (with sigmoid neurons,
        whose vectorised form rounds differently at an array's end, up to the last bit).

        Args:
            features: Encoded observations. Shape: (lanes, input_size).
            potentials: Before the step. Shape: (lanes, hidden_size).
            episode_starts: True where a lane begins an episode. Shape: (lanes,).
            coefficients: From `coefficients`, with a leading dimension of `lanes` or 1.
        Returns: Actions (lanes, *action_space.shape) and what happened in the field (lanes, ...).
        """
        inputs = self.normalizer(features).unsqueeze(1)
        before = reset(coefficients, potentials.unsqueeze(1), episode_starts.unsqueeze(1))
        trace = Trace(*(part.squeeze(1) for part in self.field.trace(inputs, before, coefficients)))
        return self.head(trace.outputs), trace

    @torch.no_grad()
    def act(self, obs: Any, episode_start: Any = None) -> Any:
        """The action for an observation, with the memory kept here from call to call.

        Parameters of a field on the CPU are read when an episode begins.

        Args:
            obs: One observation (*observation_space.shape) or a batch of them, one row per environment.
            episode_start: Whether this is the first observation of an episode: a bool, or one per environment. The
                first call always starts one.
        Returns: A NumPy action, or a batch of them, in the action space.
        Raises: ValueError if the shape does not fit, the batch has changed size, or an entry is not finite.
        """
        batched = self.encode.batched(obs)
        features = self.encode(obs if batched else np.asarray(obs)[None])
        if problem := finite_problem(features, self.visible):
            raise ValueError(problem)
        lanes = len(features)
        starts = np.zeros(lanes, dtype=bool)
        starts[:] = False if episode_start is None else episode_start
        if self._potentials is None or (len(self._potentials) != lanes and starts.all()):
            self._potentials, self._playing = self.field.start(lanes), None
        elif len(self._potentials) != lanes:
            raise ValueError(
                f"The memory is of {len(self._potentials)} environments, the observations of {lanes}: pass "
                "episode_start=True to begin anew."
            )
        if self._playing is None or starts.any():
            self._playing = Playing(self, self._potentials)
        like = self.normalizer.mean
        actions = self._playing.step(torch.as_tensor(features).to(like), torch.as_tensor(starts).to(like.device))
        self._potentials = self._playing.potentials
        array = actions.cpu().numpy().astype(self.action_space.dtype)
        return array if batched else array[0]

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all but what is bound to this process, which `act` makes again."""
        return self.__dict__ | {"_playing": None}

    def save(self, path: str | Path) -> None:
        """Write the policy to one safetensors file, atomically.

        Raises:
            ValueError: If it holds modules or functions of your own, which a file cannot describe.
            OSError: If the file cannot be written; what was there is kept.
        """
        from nf_policies.policies.files import save_policy

        save_policy(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Policy":
        """Read a policy from its file; nothing in it is executed.

        Raises:
            PolicyFileError: If the file is missing, truncated, foreign or newer than this package.
        """
        from nf_policies.policies.files import load_policy

        return load_policy(Path(path))

    def extra_repr(self) -> str:
        """The task, what is seen of it and the number of parameters."""
        seen = "all" if self.visible is None else list(self.visible)
        return f"env_id={self.env_id}, visible={seen}, n_parameters={self.n_parameters}"
