"""The parameter vector: what is learnable and used, as one flat vector with names, start values and scales."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ParameterVector:
    """How a module's learnable parameters lie in one flat vector.

    Attributes:
        entries: (name, shape) of each parameter tensor, in order.
        start: The module's values when this was made; all finite. Shape: (n_parameters,).
        scale: Natural step of each entry, see `natural_scale`. Shape: (n_parameters,).
    """

    entries: tuple[tuple[str, torch.Size], ...]
    start: Tensor
    scale: Tensor

    @classmethod
    def of(cls, module: nn.Module) -> "ParameterVector":
        """Describe the learnable parameters of a field (or of any module).

        Raises: ValueError if nothing is learnable or a start value is not finite.
        """
        learnable = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        if not learnable:
            raise ValueError(f"{type(module).__name__} has no learnable parameters.")
        for name, p in learnable.items():
            if not p.isfinite().all():
                raise ValueError(f"The start value of {name} is not finite.")
        return cls(
            entries=tuple((name, p.shape) for name, p in learnable.items()),
            start=torch.cat([p.reshape(-1) for p in learnable.values()]),
            scale=torch.cat([torch.full_like(p, natural_scale(n, p)).reshape(-1) for n, p in learnable.items()]),
        )

    def __len__(self) -> int:
        return len(self.start)

    @property
    def names(self) -> list[str]:
        """One name per entry, with indices where a parameter has several: `input_embedding.weight[0,2]`."""
        return [
            name if shape.numel() == 1 else f"{name}[{','.join(map(str, index))}]"
            for name, shape in self.entries
            for index in torch.ones(shape).nonzero().tolist()
        ]

    def split(self, vectors: Tensor) -> dict[str, Tensor]:
        """Cut flat vectors (..., n_parameters) into named tensors (..., *shape).

        Raises: ValueError if the last dimension is not `n_parameters`.
        """
        if vectors.shape[-1] != len(self):
            raise ValueError(f"A parameter vector of this field has {len(self)} entries, not {vectors.shape[-1]}.")
        parts = vectors.split([shape.numel() for _, shape in self.entries], dim=-1)
        pairs = zip(self.entries, parts, strict=True)
        return {name: part.reshape(*vectors.shape[:-1], *shape) for (name, shape), part in pairs}

    @torch.no_grad()
    def load(self, module: nn.Module, vector: Tensor) -> None:
        """Write one vector (n_parameters,) into the module's parameters."""
        parameters = dict(module.named_parameters())
        for name, value in self.split(vector).items():
            parameters[name].copy_(value)

    def describe(self) -> str:
        """A table of every entry with its start value and scale, for people."""
        names = self.names
        width = max(map(len, [*names, "parameter"]))
        rows = [f"{'parameter':<{width}}  {'start':>10}  {'scale':>8}"]
        for name, start, scale in zip(names, self.start.tolist(), self.scale.tolist(), strict=True):
            rows.append(f"{name:<{width}}  {start:>10.4g}  {scale:>8.3g}")
        rows.append(f"{len(self)} parameters")
        return "\n".join(rows)


def natural_scale(name: str, parameter: Tensor) -> float:
    """Weights summed over n terms matter as 1 / sqrt(n), logarithms as a third (a factor of 1.4), others as 1."""
    if name.rpartition(".")[2].startswith("log_"):
        return 1 / 3
    return parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 1.0


def embedding(given: nn.Module | None, fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Module:
    """The given module, or a linear layer without bias, which starts as `torch.nn.Linear` does."""
    if given is not None:
        return given
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    return layer
