"""The search of the page: separable CMA-ES, and what it finds."""

from importlib.resources import files

import pytest

from nf_policies.commands.playground import untrained
from nf_policies.playground.page import PLAYED, script_of
from nf_policies.playground.policy import policy_part
from nf_policies.playground.task import find_task, task_part
from tests.playground.node import evaluate, needs_node

MINIMISE = """
function minimise(cost, generations) {
  const random = uniform(1);
  const search = new Search([3, -2, 1, 4], [1, 1, 1, 1], 1);
  for (let i = 0; i < generations; i += 1) {
    search.tell(search.ask(20, random).sort((a, b) => cost(a.parameters) - cost(b.parameters)));
  }
  return { cost: cost(search.mean), ratio: search.variances[0] / search.variances[3] };
}
const ellipsoid = (x) => x.reduce((sum, entry, k) => sum + 100 ** k * entry ** 2, 0);
"""
EVOLVE = """
function evolve(seed) {
  const values = (entries) => entries.map(({ value }) => value);
  const crowd = new Crowd(values(about.policy.parameters), values(about.task.constants), 1, seed);
  while (crowd.rounds.length < 60 && (crowd.rounds.at(-1)?.median ?? 0) < 450) if (crowd.step()) crowd.breed();
  return crowd.rounds.at(-1).median;
}
"""


@needs_node
def test_the_search_finds_a_minimum_and_the_steps_that_each_parameter_needs(tmp_path) -> None:
    folder = files("nf_policies.playground") / "page"
    script = "".join((folder / name).read_text(encoding="utf-8") for name in ("random.js", "search.js"))
    found = evaluate(script + MINIMISE, "minimise(ellipsoid, 300)", tmp_path)
    assert found["cost"] < 1e-9
    assert found["ratio"] > 1e4  # of an axis a million times as flat


@needs_node
@pytest.mark.slow
def test_an_untrained_policy_learns_to_balance_without_velocities(tmp_path) -> None:
    env_id = "nf/CartPoleNoVel-v1"
    scales = {"resting_level": 0.01, "activation_scale": 0.01}
    script = script_of(task_part(env_id, find_task(env_id)), policy_part(untrained(env_id), scales), PLAYED)
    medians = evaluate(script + EVOLVE, "[1, 2, 3].map(evolve)", tmp_path)
    assert sorted(medians)[1] >= 450
