"""Policy: a normaliser in front of a field, an action head behind it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor, nn

from nf_policies.fields.dynamics import Trace, reset
from nf_policies.fields.field import Field
from nf_policies.fields.parameters import ParameterVector
from nf_policies.fields.stepper import Stepper, steps_past_trace
from nf_policies.policies.cells import Cell
from nf_policies.policies.files import complete, read, write
from nf_policies.policies.kinds import finite_problem, images_of, make_head, single
from nf_policies.policies.numbers import ACTION_PROBLEM
from nf_policies.policies.spaces import ObservationEncoder, alike, each

CLIP, EPSILON = 10.0, 1e-8
"""Normalised features are clipped to ± CLIP standard deviations."""
PARTS = ("field", "observation_space", "action_space", "visible", "env_id", "env_spec")
"""Arguments of a policy that its file holds under the same names."""


class Normalizer(nn.Module):
    """Standardise `size` features by the statistics of all features seen by `update`; at first the identity.

    The pixels of an image share one mean and one variance: `images` has the indices (n,) of each.
    """

    def __init__(self, size: int, images: Sequence[np.ndarray] = ()) -> None:
        super().__init__()
        self.images = [torch.as_tensor(pixels) for pixels in images if len(pixels)]
        self.count: Tensor = nn.Buffer(torch.zeros((), dtype=torch.float64))
        self.mean: Tensor = nn.Buffer(torch.zeros(size))
        self.var: Tensor = nn.Buffer(torch.ones(size))

    @property
    def std(self) -> Tensor:
        """What features are divided by. Shape: (size,)."""
        return (self.var + EPSILON).sqrt()

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features; the statistics stay as they are. Shapes: (..., size)."""
        return torch.where(self.count > 0, ((features - self.mean) / self.std).clamp(-CLIP, CLIP), features)

    def select(self, entries: Tensor) -> "Normalizer":
        """A normaliser of some of the features, with copies of their statistics. Shape of entries: (n,), integer."""
        some = Normalizer(len(entries)).to(self.mean)
        some.count = self.count.clone()
        some.mean, some.var = self.mean[entries], self.var[entries]
        return some

    def in_place(self, features: Tensor) -> Callable[[], object]:
        """A function that normalises the features in this memory (..., size) with today's statistics, many times."""
        if not self.count > 0:
            return lambda: features
        mean, std = (t.expand_as(features).clone(memory_format=torch.contiguous_format) for t in (self.mean, self.std))
        return lambda: features.sub_(mean).div_(std).clamp_(-CLIP, CLIP)

    @torch.no_grad()
    def update(self, count: float, mean: Tensor, var: Tensor) -> None:
        """Merge the statistics of a batch: its size, mean and (biased) variance (size,).

        Reference: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for sample variances.
        """
        if count <= 0:
            return
        mean, var = mean.to(self.mean, copy=True), var.to(self.var, copy=True)
        for pixels in self.images:
            var[pixels] = var[pixels].mean() + mean[pixels].var(correction=0)
            mean[pixels] = mean[pixels].mean()
        total = self.count + count
        share = count / total
        delta = mean - self.mean
        self.var.copy_((1 - share) * self.var + share * var + share * (1 - share) * delta**2)
        self.mean.add_(share * delta)
        self.count.copy_(total)


def step(
    field: Any, normalizer: nn.Module, features: Tensor, potentials: Tensor, episode_starts: Tensor, coefficients: Any
) -> Trace:
    """One step of a `Field` or `Cell` on features: normalise, reset the potentials of new episodes, step.

    Args:
        field: With a field's `trace`.
        normalizer: In front of it.
        features: Encoded observations. Shape: (..., batch, input_size).
        potentials: Before the step, not modified. Shape: (..., batch, memory_size).
        episode_starts: True where an episode begins. Shape: (..., batch).
        coefficients: From `field.coefficients`; those of a population have its leading dimension, as all arguments.
    """
    return field.trace(normalizer(features), reset(coefficients, potentials, episode_starts), coefficients)


class Memory:
    """A field or cell in a control loop; a field on the CPU takes compiled steps, with its parameters as they are now.

    Args:
        field: A `Field` or a `Cell`.
        normalizer: Of all features.
        potentials: To go on from; copied where the steps are compiled. Shape: (batch, memory_size).
        entries: Which of the features the field sees; None for all. Shape: (input_size,), integer.
    """

    potentials: Tensor
    """After the last step; a step may overwrite them. Shape: (batch, memory_size)."""

    @torch.inference_mode(False)  # so that the memory can be used in and outside
    @torch.no_grad()
    def __init__(self, field: Any, normalizer: Normalizer, potentials: Tensor, entries: Tensor | None = None) -> None:
        self.field, self.entries = field, entries
        self.normalizer = normalizer if entries is None else normalizer.select(entries)
        self.stepper: Stepper | None = None
        if isinstance(field, Field) and potentials.device.type == "cpu":
            self.stepper = Stepper(field, len(potentials))
            self.normalize = self.normalizer.in_place(self.stepper.tensors.inputs)
            self.potentials = self.stepper.tensors.potentials.copy_(potentials)
        else:
            self.coefficients, self.potentials = field.coefficients(), potentials

    @torch.no_grad()
    def step(self, features: Tensor, episode_starts: Tensor) -> Tensor:
        """Outputs (batch, output_size), which the next step may overwrite; arguments (batch, n_features), (batch,)."""
        if self.entries is not None:
            features = features.index_select(-1, self.entries)
        if self.stepper is None:
            trace = step(self.field, self.normalizer, features, self.potentials, episode_starts, self.coefficients)
            self.potentials = trace.potentials
            return trace.outputs
        mine = self.stepper.tensors
        mine.inputs.copy_(features)
        self.normalize()
        mine.episode_starts.copy_(episode_starts)
        self.stepper()
        return mine.outputs


class Policy(nn.Module):
    """From observation to action through a neural field.

        policy = Policy(SimpleNeuralField(2, 1), env.observation_space, env.action_space, visible=[0, 2])
        action = policy.act(obs, episode_start=True)

    Args:
        field: A field, or a cell of `nf_policies.policies.cells`, of the sizes that `field_sizes` returns.
        observation_space, action_space: Of a single environment.
        visible: Indices of the observation's entries that the policy sees; None for all.
        env_id, env_spec: The task it is for, and Gymnasium's `EnvSpec` of it as JSON values; both kept in the file.
        squash: How Box actions stay within bounds, "tanh" or "clip".
    Raises: UnsupportedSpaceError for a space that cannot be used, ValueError for a field of other sizes, with
        `batch_first`, or with a `step` of its own beside the `trace` of its base class.
    """

    def __init__(
        self,
        field: Field | Cell,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        visible: Sequence[int] | None = None,
        env_id: str | None = None,
        env_spec: dict[str, Any] | None = None,
        squash: str = "tanh",
    ) -> None:
        super().__init__()
        self.encode = ObservationEncoder(observation_space, visible)
        self.visible = self.encode.visible
        self.observation_space, self.action_space = observation_space, action_space
        self.env_id, self.env_spec = env_id, env_spec
        self.head = make_head(action_space, squash)
        needed = (self.encode.size, self.head.output_size)
        if (field.input_size, field.output_size) != needed:
            wanted = f"These spaces need a field with input_size={needed[0]} and output_size={needed[1]}"
            raise ValueError(f"{wanted}, not {field.input_size} and {field.output_size}.")
        if getattr(field, "batch_first", False):
            raise ValueError("A policy runs over (time, batch, features): make its field with batch_first=False.")
        if steps_past_trace(field):
            raise ValueError(f"This {type(field).__name__} overrides step, but a policy takes trace: override trace.")
        self.normalizer = Normalizer(self.encode.size, images_of(self.encode))
        self.field: Any = field
        self.made_by: dict[str, Any] = {}
        self.names: dict[str, Sequence[str]] = {}
        self._potentials: Tensor | None = None
        self._memory: Memory | None = None

    @property
    def n_parameters(self) -> int:
        """Number of learnable parameters."""
        return self.field.n_parameters

    def check_task(self, observation_space: Space[Any], action_space: Space[Any]) -> None:
        """Refuse, with a ValueError, a task whose spaces are not the policy's; dtypes may differ."""
        if not alike(self.observation_space, observation_space):
            raise ValueError(f"The policy sees {self.observation_space}, but the task shows {observation_space}.")
        if not alike(self.action_space, action_space):
            raise ValueError(f"The policy acts in {self.action_space}, but the task takes {action_space}.")

    def forward(
        self, features: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field's outputs and potentials over features (time, batch, input_size); arguments as `Field.forward`."""
        return self.field(self.normalizer(features), potentials, episode_starts)

    def coefficients(self, parameters: Tensor | None = None) -> Any:
        """What `step` takes: of parameter vectors (pop_size, n_parameters), or of the field's own as the only one."""
        if parameters is None:
            return self.field.coefficients({name: p.detach()[None] for name, p in self.field.named_parameters()})
        return self.field.coefficients(ParameterVector.of(self.field).split(parameters))

    def step(
        self, features: Tensor, potentials: Tensor, episode_starts: Tensor, coefficients: Any
    ) -> tuple[Tensor, Trace]:
        """One step of many episodes, each with the same bits in any company (but for the last bit of a sigmoid).

        Arguments as for `nf_policies.policies.policy.step`, one row per episode, with the coefficients of `batch`
        candidates or of one.

        Returns: Actions (batch, *action_space.shape) and what happened in the field (batch, ...).
        """
        features, potentials, starts = (t.unsqueeze(1) for t in (features, potentials, episode_starts))
        trace = step(self.field, self.normalizer, features, potentials, starts, coefficients)
        trace = Trace(*(part.squeeze(1) for part in trace))
        return self.head(trace.outputs), trace

    @torch.no_grad()
    def act(self, obs: Any, episode_start: Any = False) -> Any:
        """The action for an observation, with the memory kept here from call to call.

        Args:
            obs: One observation (*observation_space.shape) or a batch of them, one row per environment; of Dict and
                Tuple spaces a dict or a tuple of these.
            episode_start: Whether an episode begins here, a bool or one per environment; the first call begins one.
                The parameters and statistics of a field on the CPU are read then.
        Returns: A NumPy action, or a batch of them, in the action space.
        Raises: ValueError for another shape, another size of a batch in mid-episode, or numbers that are not finite.
        """
        batched = self.encode.batched(obs)
        features = self.encode(obs if batched else each(lambda entry: np.asarray(entry)[None], obs))
        if problem := finite_problem(features, self.visible):
            raise ValueError(problem)
        n = len(features)
        starts = np.full(n, episode_start, dtype=bool)
        if self._potentials is None or (len(self._potentials) != n and starts.all()):
            self._potentials, self._memory = self.field.start(n), None
        elif len(self._potentials) != n:
            sizes = f"The memory is of {len(self._potentials)} environments, the observations of {n}"
            raise ValueError(f"{sizes}: pass episode_start=True to begin anew.")
        like = self.normalizer.mean
        now = torch.as_tensor(features).to(like), torch.as_tensor(starts).to(like.device)
        if type(self).step is not Policy.step:  # a subclass's own
            actions, trace = self.step(now[0], self._potentials, now[1], self.coefficients())
            self._potentials = trace.potentials
        else:
            if self._memory is None or starts.any():
                self._memory = Memory(self.field, self.normalizer, self._potentials)
            actions = self.head(self._memory.step(*now))
            self._potentials = self._memory.potentials
        array = actions.cpu().numpy().astype(self.action_space.dtype)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(ACTION_PROBLEM)
        return array if batched else single(array, self.action_space)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Let the memory follow to another device or dtype."""
        super()._apply(fn, recurse)
        self._potentials = None if self._potentials is None else fn(self._potentials)
        self._memory = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memory": None}

    def save(self, path: str | Path) -> None:
        """Write the policy to one safetensors file, atomically; it is read back before it replaces an older file.

        Raises: ValueError if it holds modules or functions of your own, or what no file can hold, such as NaN; OSError
            if the file cannot be written.
        """
        header = {part: getattr(self, part) for part in (*PARTS, "n_parameters", "made_by", "names")}
        write(Path(path), header | {"squash": getattr(self.head, "squash", None)}, self.state_dict(), Policy.load)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy from its file, in which nothing is executed; a PolicyFileError if it cannot be read."""
        header, tensors = read(Path(path))
        with complete(Path(path)):
            policy = cls(**{part: header[part] for part in PARTS}, squash=header.get("squash") or "tanh")
            policy.made_by, policy.names = dict(header["made_by"]), dict(header.get("names", {}))
            policy.to(tensors["field.output_embedding.weight"].dtype).load_state_dict(tensors)
        return policy

    def extra_repr(self) -> str:
        """The task, what is seen of it and the number of parameters."""
        seen = "all" if self.visible is None else list(self.visible)
        return f"env_id={self.env_id}, visible={seen}, n_parameters={self.n_parameters}"
