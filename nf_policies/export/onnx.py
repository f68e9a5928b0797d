"""A policy as an ONNX graph: observation, memory and episode_start go in, action and memory_after come out."""

import json
from typing import Any

import numpy as np

from nf_policies.export.algebra import evaluate
from nf_policies.export.form import AFTER, MEMORY, OBSERVATION, Choice, Constant, Form
from nf_policies.export.needs import needs

OPSET = 18
OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}
NODES = {"identity": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "abs": "Abs", "round": "Round"}


class Graph:
    """The algebra of ONNX: a value is the name of a node's output."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        with needs("export", "onnx"):
            from onnx import helper, numpy_helper
        self.helper, self.numpy_helper, self.dtype = helper, numpy_helper, dtype
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}

    def node(self, kind: str, *inputs: str, called: str | None = None, **attributes: Any) -> str:
        """Add a node. Returns the name of its output."""
        name = called or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def tensor(self, values: Any, name: str | None = None) -> str:
        """A tensor of the file: numbers of the policy, or whole numbers."""
        array = np.asarray(values)
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array.astype(np.int64)
        name = name or f"tensor_{len(self.tensors)}"
        self.tensors[name] = self.numpy_helper.from_array(array, name)
        return name

    def number(self, value: float) -> str:
        """As above."""
        return self.tensor(float(value))

    def constant(self, constant: Constant) -> str:
        """As above."""
        return self.tensor(constant.values.astype(self.dtype), constant.name)

    def slice(self, vector: str, start: int, stop: int) -> str:
        """As above."""
        return self.node("Slice", vector, self.tensor([start]), self.tensor([stop]), self.tensor([-1]))

    def pick(self, vector: str, indices: tuple[int, ...]) -> str:
        """As above."""
        return self.node("Gather", vector, self.tensor(indices), axis=-1)

    def apply(self, operation: str, arguments: list[str]) -> str:
        """As above."""
        if operation in OPERATORS:
            return self.node(OPERATORS[operation], *arguments)
        if operation in NODES:
            return self.node(NODES[operation], *arguments)
        if operation == "clip":
            return self.node("Min", self.node("Max", *arguments[:2]), arguments[2])
        if operation == "equal":
            return self.cast(self.node("Equal", *arguments), self.dtype)
        if operation == "positive":
            return self.cast(self.node("Greater", arguments[0], self.number(0)), np.dtype(np.int64))
        x, p = arguments  # root
        magnitude = self.node("Pow", self.node("Abs", x), self.node("Reciprocal", p))
        return self.node("Mul", self.node("Sign", x), magnitude)

    def cast(self, value: str, dtype: np.dtype[Any]) -> str:
        """Numbers of another type."""
        return self.node("Cast", value, **{"to": self.helper.np_dtype_to_tensor_dtype(dtype)})

    def product(self, matrix: str, vector: str, bias: str | None) -> str:
        """As above."""
        product = self.node("MatMul", vector, self.node("Transpose", matrix, perm=[1, 0]))
        return product if bias is None else self.node("Add", product, bias)

    def join(self, parts: list[str]) -> str:
        """As above."""
        return self.node("Concat", *parts, axis=-1)

    def choice(self, outputs: str, choice: Choice) -> str:
        """As above."""
        chosen = []
        zero = self.node("Mul", self.slice(outputs, 0, 1), self.number(0))
        for first, logits, start in choice.columns():
            side_by_side = self.join([zero, self.slice(outputs, first, first + logits)]) if logits else zero
            largest = self.node("ArgMax", side_by_side, axis=-1, keepdims=1)
            chosen.append(self.node("Add", largest, self.tensor([start])))
        return self.join(chosen)


def print_onnx(form: Form, card: dict[str, Any], *, opset: int = OPSET) -> bytes:
    """The file's bytes.

    Inputs: observation (batch, observation_size), memory (batch, memory_size), episode_start (batch,), bool, which
    brings the memory to its initial values first. Outputs: action (batch, action_size), memory_after. The initial
    memory and the card are in the metadata.
    """
    with needs("export", "onnx"):
        import onnx
        from onnx import TensorProto, helper
    graph = Graph(form.dtype)
    real = helper.np_dtype_to_tensor_dtype(form.dtype)
    start = graph.node("Unsqueeze", "episode_start", graph.tensor([-1]))
    before = graph.node("Where", start, graph.tensor(form.initial_memory, "initial_memory"), MEMORY)
    known = {OBSERVATION: OBSERVATION, MEMORY: before}
    for statement in form.statements:
        known[statement.name] = evaluate(statement.value, graph, known.__getitem__)
    graph.node("Identity", known[form.statements[-1].name], called="action")
    graph.node("Identity", known.get(AFTER, before), called="memory_after")
    kind = TensorProto.INT64 if form.integers else real

    def info(name: str, kind: int, *sizes: int) -> Any:
        return helper.make_tensor_value_info(name, kind, ["batch", *sizes])

    inputs = [
        info(OBSERVATION, real, form.observation_size),
        info(MEMORY, real, form.memory_size),
        info("episode_start", TensorProto.BOOL),
    ]
    outputs = [info("action", kind, form.action_size), info("memory_after", real, form.memory_size)]
    body = helper.make_graph(
        graph.nodes, "policy", inputs, outputs, list(graph.tensors.values()), doc_string=form.title
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(body, opset_imports=opsets, producer_name="nf-policies", ir_version=IR[opset >= 21])
    helper.set_model_props(
        model, {"card": json.dumps(card), "initial_memory": json.dumps(form.initial_memory.tolist())}
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


IR = (8, 10)
"""Version of the file's format, for opsets below 21 and from there on."""
