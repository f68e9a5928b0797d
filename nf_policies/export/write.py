"""Files of an exported policy, written whole or not at all."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from nf_policies.atomic import write_bytes, write_text
from nf_policies.export.c import print_c
from nf_policies.export.card import card_of, in_words
from nf_policies.export.describe import describe
from nf_policies.export.facts import Facts
from nf_policies.export.form import Recording
from nf_policies.export.js import print_js
from nf_policies.export.numpy import print_numpy
from nf_policies.export.onnx import OPSET, print_onnx
from nf_policies.export.polynomial import without_exponentials
from nf_policies.export.recording import record
from nf_policies.export.torch import print_torch
from nf_policies.policies.policy import Policy

Target = Literal["c", "onnx", "torch", "numpy", "js", "card"]
TARGETS: tuple[Target, ...] = get_args(Target)
SUFFIXES = {"c": ".c", "onnx": ".onnx", "torch": ".pt2", "numpy": ".py", "js": ".js", "card": ".json"}
CHECKED = 32
"""Steps of the recorded episode in a C file."""


@dataclass(frozen=True)
class Request:
    """How a policy is exported.

    Attributes:
        facts: What its task says about entries, units and rate.
        score: What the policy reached; nothing where nobody knows.
        double: Whether C computes in double precision.
        polynomial: Whether tanh and sigmoid are polynomials, see `export.polynomial`.
        opset: Of ONNX.
    """

    facts: Facts = field(default_factory=Facts)
    score: dict[str, Any] | None = None
    double: bool = False
    polynomial: bool = False
    opset: int = OPSET


def write(policy: Policy, target: str, path: Path, request: Request) -> list[Path]:
    """Write a policy for a target; `path` is without suffix. Returns the files, the one that is loaded first.

    Raises: ValueError if the policy cannot be exported, OSError if a file cannot be written.
    """
    exact = describe(policy)
    form = without_exponentials(exact) if request.polynomial else exact
    card = card_of(policy, form, request.facts, request.score, polynomial=request.polynomial)
    main = path.with_name(path.name + SUFFIXES[target])
    match target:
        case "c":
            recording = record(policy, CHECKED)
            if request.polynomial:
                recording = recording._replace(actions=_actions(print_numpy(form, card), recording))
            source, header = print_c(form, card, recording, name=path.name, double=request.double)
            write_text(main, source)
            write_text(main.with_suffix(".h"), header)
            return [main, main.with_suffix(".h")]
        case "onnx":
            write_bytes(main, print_onnx(form, card, opset=request.opset))
        case "torch":
            write_bytes(main, print_torch(form, card))
        case "numpy":
            write_text(main, print_numpy(form, card))
        case "js":
            write_text(main, print_js(form, card))
        case _:
            write_text(main, json.dumps(card, indent=2) + "\n")
            write_text(main.with_suffix(".md"), in_words(card))
            return [main, main.with_suffix(".md")]
    return [main]


def _actions(module: str, recording: Recording) -> np.ndarray:
    """What an exported NumPy module does in a recording."""
    names: dict[str, Any] = {}
    exec(module, names)
    actions, memory = [], None
    for observation, start in zip(recording.observations, recording.starts, strict=True):
        action, memory = names["policy_step"](names["policy_init"]() if start else memory, observation)
        actions.append(action)
    return np.array(actions)
