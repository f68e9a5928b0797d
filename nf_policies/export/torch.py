"""A policy as a program of torch.export, which `torch.export.load` reads without this package."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_policies.export.algebra import evaluate
from nf_policies.export.form import AFTER, MEMORY, OBSERVATION, Choice, Constant, Form, used


class Program(nn.Module):
    """The form in tensors: (observation, memory, episode_start) to (action, memory after), with a batch axis."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form, self.dtype = form, getattr(torch, str(form.dtype))
        for constant in form.constants:
            self.register_buffer(constant.name, torch.tensor(constant.values, dtype=self.dtype))
        self.register_buffer("initial_memory", torch.tensor(form.initial_memory, dtype=self.dtype))

    def forward(self, observation: Tensor, memory: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: (batch, observation_size), (batch, memory_size), (batch,)."""
        before = torch.where(episode_start.unsqueeze(-1), self.get_buffer("initial_memory"), memory)
        known = {OBSERVATION: observation, MEMORY: before}
        algebra = Tensors(self.get_buffer)
        for statement in self.form.statements:
            known[statement.name] = evaluate(statement.value, algebra, known.__getitem__)
        return known[self.form.statements[-1].name], known.get(AFTER, before)


def at_start(form: Form, name: str) -> np.ndarray:
    """A vector that depends on nothing but the memory, at the start of an episode, in double precision."""
    buffers = {constant.name: torch.tensor(constant.values) for constant in form.constants}
    known = {MEMORY: torch.tensor(form.initial_memory)}
    for statement in used(form.statements, name):
        known[statement.name] = evaluate(statement.value, Tensors(buffers.__getitem__), known.__getitem__)
    return known[name].numpy()


class Tensors:
    """The algebra of tensors; `buffers` are a module's."""

    def __init__(self, buffers: Callable[[str], Tensor]) -> None:
        self.buffers = buffers

    def number(self, value: float) -> float:
        """As above."""
        return value

    def constant(self, constant: Constant) -> Tensor:
        """As above."""
        return self.buffers(constant.name)

    def slice(self, vector: Tensor, start: int, stop: int) -> Tensor:
        """As above."""
        return vector[..., start:stop]

    def pick(self, vector: Tensor, indices: tuple[int, ...]) -> Tensor:
        """As above."""
        return vector[..., list(indices)]

    def apply(self, operation: str, arguments: list[Any]) -> Tensor:
        """As above."""
        return FUNCTIONS[operation](*arguments)

    def product(self, matrix: Tensor, vector: Tensor, bias: Tensor | None) -> Tensor:
        """As above."""
        return nn.functional.linear(vector, matrix, bias)

    def join(self, parts: list[Tensor]) -> Tensor:
        """As above."""
        return torch.cat(parts, dim=-1)

    def choice(self, outputs: Tensor, choice: Choice) -> Tensor:
        """As above."""
        zero = torch.zeros_like(outputs[..., :1])
        chosen = []
        for first, logits, start in choice.columns():
            chosen.append(torch.cat((zero, outputs[..., first : first + logits]), dim=-1).argmax(-1) + start)
        return torch.stack(chosen, dim=-1)


FUNCTIONS: dict[str, Any] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "abs": torch.abs,
    "clip": torch.clamp,
    "equal": lambda x, y: (x == y).to(x.dtype),
    "round": torch.round,
    "positive": lambda x: (x > 0).long(),
    "root": lambda x, p: x.sign() * x.abs() ** (1 / p),
}


def print_torch(form: Form, card: dict[str, Any]) -> bytes:
    """The file's bytes; the card is in its extra file `card.json`."""
    program = Program(form)
    sizes = form.observation_size, form.memory_size
    example = (*(torch.zeros(2, size, dtype=program.dtype) for size in sizes), torch.zeros(2, dtype=torch.bool))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(program, example, dynamic_shapes=({0: batch}, {0: batch}, {0: batch}))
    file = io.BytesIO()
    torch.export.save(exported, file, extra_files={"card.json": json.dumps(card)})
    return file.getvalue()
