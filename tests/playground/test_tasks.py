"""The physics of the page is that of the task's own Python, step by step, and so are rewards, ends and observations."""

import dataclasses

import pytest
import torch
from torch.utils import _pytree as pytree

from nf_envs.sensing import ActionDelay, ActionRepeat, FilterVelocities, ObservationDelay, ObservationNoise
from nf_policies.playground.formulas import PRELUDE
from nf_policies.playground.javascript import UnknownOperationError, function
from nf_policies.playground.task import constants_of, find_task, physical_entries, script_of
from nf_policies.tasks.make import TaskError
from tests.envs.all_tasks import BARE, actions, core
from tests.playground.node import evaluate, needs_node

LANES, STEPS = 4, 60
SOME = ["nf/CartPole-v1", "nf/Pendulum-v1", "nf/MountainCarContinuous-v0", "nf/RepeatPrevious-v0"]

COMPARE = """
function far(mine, theirs) {
  if (mine.length !== theirs.length) throw new Error(`${mine.length} numbers for ${theirs.length}`);
  return Math.max(0, ...mine.map((x, i) => Math.abs(x - theirs[i]) / (1 + Math.abs(theirs[i]))));
}
function compare(episodes, constants) {
  let [step, whole] = [0, 0];
  for (const { first, rows } of episodes) {
    let state = initial(first, constants);
    for (const { s, a, r, z, reward: earned, over, seen } of rows) {
      const next = transition(s, a, r, constants);
      const ended = terminal(next, constants).map(Number);
      step = Math.max(step, far(next, z), far(reward(s, a, z, r, constants), earned), far(ended, over));
      step = Math.max(step, far(features(z, constants), seen));
      state = transition(state, a, r, constants);
      whole = Math.max(whole, far(state, z));
    }
  }
  return { step, whole };
}
"""


def numbers(tree):
    """A list of all numbers in a row, for each lane."""
    leaves = [leaf.to(torch.float64).reshape(LANES, -1) for leaf in pytree.tree_leaves(tree)]
    return torch.cat(leaves, -1).tolist() if leaves else [[]] * LANES


def episodes(task, seed=0):
    """Random actions in a few lanes, in Python."""
    generator = torch.Generator().manual_seed(seed)

    def draws(n):
        return torch.rand(n, LANES, dtype=torch.float64, generator=generator).unbind()

    first = draws(task.draws.initial)
    state = task.initial(first)
    rows = []
    for _ in range(STEPS):
        a, r = actions(task.action_space, LANES, generator), draws(task.draws.transition)
        a = a.double() if a.is_floating_point() else a
        z = task.transition(state, a, r)
        parts = (state, a, r, z, task.reward(state, a, z, r), task.terminal(z), task.features(z))
        rows.append([numbers(part) for part in parts])
        state = z
    names = ("s", "a", "r", "z", "reward", "over", "seen")
    return [
        {
            "first": numbers(first)[lane],
            "rows": [dict(zip(names, (part[lane] for part in row), strict=True)) for row in rows],
        }
        for lane in range(LANES)
    ]


def changed(task):
    """The task with every number among its constants changed."""
    kinds = {c["name"]: c for c in constants_of(task)}
    values = {name: c["value"] + 1 if c["whole"] else 1.1 * c["value"] for name, c in kinds.items()}
    return type(task)(dataclasses.replace(task.default_params, **values))


def differences(task, folder):
    """The largest, relative to the size of the number: of single steps, and over episodes in which errors add up."""
    values = [c["value"] for c in constants_of(task)]
    script = "\n".join((PRELUDE, script_of(task), COMPARE))
    return evaluate(script, "compare(episodes, constants)", folder, episodes=episodes(task), constants=values)


@needs_node
@pytest.mark.parametrize("env_id", SOME)
def test_a_step_in_javascript_is_the_step_in_python(env_id, tmp_path) -> None:
    found = differences(core(env_id), tmp_path)
    assert found["step"] < 1e-13
    assert found["whole"] < 1e-9


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("env_id", sorted({*BARE} - {*SOME}))
def test_a_step_of_every_task_in_javascript_is_the_step_in_python(env_id, tmp_path) -> None:
    found = differences(core(env_id), tmp_path)
    assert found["step"] < 1e-12
    assert found["whole"] < 1e-6


@needs_node
@pytest.mark.parametrize("env_id", ["nf/CartPole-v1", pytest.param("nf/FurutaSwingUp-v0", marks=pytest.mark.slow)])
def test_constants_are_arguments(env_id, tmp_path) -> None:
    task = core(env_id)
    script = script_of(task)
    assert script == script_of(changed(task))
    other = changed(task)
    values = [c["value"] for c in constants_of(other)]
    text = "\n".join((PRELUDE, script, COMPARE))
    found = evaluate(text, "compare(episodes, constants)", tmp_path, episodes=episodes(other), constants=values)
    assert found["step"] < 1e-12


@needs_node
@pytest.mark.slow
def test_sensors_and_actuators_are_part_of_the_physics(tmp_path) -> None:
    sensing = [ActionDelay(0, 2), ObservationDelay(1, 3), FilterVelocities(30.0), ActionRepeat(2)]
    task = core("nf/CartPoleSwingUp-v0", sensing=sensing)
    found = differences(task, tmp_path)
    assert found["step"] < 1e-12
    x, v, theta, omega = (physical_entries(task)[name] for name in ("x", "v", "theta", "omega"))
    assert sorted((x, v, theta, omega)) == [0, 1, 2, 3]


def test_what_the_page_cannot_compute_is_named() -> None:
    with pytest.raises(UnknownOperationError, match="special_ndtri"):
        script_of(core("nf/CartPole-v1", sensing=[ObservationNoise(0.1)]))
    with pytest.raises(UnknownOperationError, match="cannot follow the function f: It appears"):
        function("f", lambda x: x if x > 0 else -x, x=torch.ones(1))
    with pytest.raises(TaskError, match="physics of Taxi-v4 cannot be put on a page"):
        find_task("Taxi-v4")


@needs_node
def test_arithmetic_in_float32_is_rounded_to_it(tmp_path) -> None:
    def of(x):
        return (x.float() * 0.1 + 1 / 3).sin(), x.double() * 0.1

    x = torch.tensor([[1.7, -2.3, 1e5]], dtype=torch.float64)
    sine, double = evaluate(
        PRELUDE + function("f", of, x=x), "[f(x).slice(0, 3), f(x).slice(3)]", tmp_path, x=x[0].tolist()
    )
    assert sine == pytest.approx(of(x)[0][0].tolist(), abs=1e-7)
    assert all(torch.tensor(value, dtype=torch.float32).item() == value for value in sine)
    assert double == of(x)[1][0].tolist()


@needs_node
@pytest.mark.parametrize(
    "of",
    [
        lambda x: x.remainder(0.7) - (-x).remainder(0.7) + x.remainder(-0.7),
        lambda x: (x @ x.mT).sum(-1, keepdim=True) + x[:, :1] - 2 * torch.stack((x[:, 1], x[:, 2]), -1),
        lambda x: torch.where((x > 0) & ~(x > 1), x.clamp(min=0.2), x.clamp(-1, -0.5)),
        lambda x: x.sigmoid() + x.tanh() * x.expm1() - x.abs().sqrt() + x**-2 + (x**2) ** 0.3 + x.trunc(),
        lambda x: (
            torch.nn.functional.pad(x, (1, 1)).sign() + torch.arange(5) + torch.full((5,), torch.inf).clamp(max=3)
        ),
    ],
    ids=["remainder", "products", "choices", "functions", "shapes"],
)
def test_operations_are_those_of_torch(of, tmp_path) -> None:
    x = torch.tensor([[0.3, -1.7, 2.9]], dtype=torch.float64)
    found = evaluate(PRELUDE + function("f", of, x=x), "f(x)", tmp_path, x=x[0].tolist())
    assert found == pytest.approx(of(x).flatten().tolist(), rel=1e-14)
