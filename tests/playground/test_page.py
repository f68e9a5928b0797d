"""The page in a browser: it opens from a file, moves, acts as Python does, and its controls do what they say."""

import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils import seeding

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main
from nf_policies.playground.page import page
from tests.playground.browser import browser, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"needs {missing()}, a Debian package")

BALANCING = [0.974, 0.8891, -0.0113, 0.0073, 1.5818, -0.3459, 2.0795, 2.4833, 11.6809, 1.4946, 6.5713, -1.585, 6.0956,
             -9.9808, -7.3767]  # fmt: skip
"""Parameters that balance a pole without velocities, evolved."""

EPISODE = """
const { Episode, parameters, constants } = playground;
let drawn = 0;
const episode = new Episode([...parameters], constants, () => arguments[0][drawn++]);
const actions = [];
while (!episode.over) {
  episode.step();
  actions.push(episode.trace.action[0]);
}
return actions;
"""
FRAMES = "window.frames = 0; (function count() { frames += 1; requestAnimationFrame(count); })();"
PLACE = """
document.getElementById(arguments[0]).scrollIntoView({ block: 'center' });
const { left, top, width, height } = document.getElementById(arguments[0]).getBoundingClientRect();
return [left + arguments[1] * width, top + arguments[2] * height];
"""
SLIDER = """
const rows = [...document.querySelectorAll(arguments[0] + ' label')];
const row = rows.find((row) => row.textContent.startsWith(arguments[1]));
const input = row.querySelector('input');
if (arguments[2] !== null) {
  input.value = arguments[2];
  input.dispatchEvent(new Event('input'));
}
return row.querySelector('output').textContent;
"""


@pytest.fixture(scope="module")
def policy():
    env = gym.make("CartPole-v1")
    field = SimpleNeuralField(2, 1, 2, dynamics="linear", activation="tanh")
    torch.nn.utils.vector_to_parameters(torch.tensor(BALANCING), field.parameters())
    policy = Policy(field, env.observation_space, env.action_space, visible=[0, 2], env_id="CartPole-v1")
    policy.normalizer.update(400_000, torch.tensor([0.2696, 0.0038]), torch.tensor([0.2874, 0.0046]))
    return policy


@pytest.fixture(scope="module")
def window(policy, tmp_path_factory):
    """A browser with the page of the balancing policy."""
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(page(policy, "CartPole-v1"), encoding="utf-8")
    with browser() as window:
        window.open(file)
        yield window


def test_the_page_opens_from_a_file_and_loads_nothing(window) -> None:
    assert window.errors() == []
    assert window.run("return document.title") == "CartPole-v1, 15 parameters"
    assert window.run("return performance.getEntriesByType('resource').length") == 0


def test_a_core_without_a_gpu_draws_30_frames_a_second_or_more(window) -> None:
    window.run(FRAMES)
    before = window.processor_seconds()  # and not the clock: other programs may run
    time.sleep(1.5)
    frames, used = window.run("return frames"), window.processor_seconds() - before
    assert frames / used >= 30
    assert window.run("return playground.episode.steps") > 10


def test_its_episodes_are_those_of_python(window, policy) -> None:
    env = gym.make("CartPole-v1")
    obs, over, start, theirs = env.reset(seed=3)[0], False, True, []
    while not over:
        action = policy.act(obs, episode_start=start)
        theirs.append(int(action))
        obs, _, terminated, truncated, _ = env.step(action)
        over, start = terminated or truncated, False
    draws = seeding.np_random(3)[0].random(4).tolist()
    mine = window.run(EPISODE, draws)
    assert len(theirs) == 500
    assert np.abs(np.array(mine) - np.array(theirs)).max() < 1e-6


def test_a_slider_changes_what_it_says_and_reset_brings_it_back(window) -> None:
    assert window.run(SLIDER, "#constants", "gravity", None) == "9.8"
    assert window.run(SLIDER, "#constants", "gravity", np.log(19.6)) == "19.6"
    assert window.run("return playground.constants[0]") == pytest.approx(19.6)
    assert window.run("return playground.episode.constants[0]") == pytest.approx(19.6)
    assert window.run(SLIDER, "#parameters", "0 ← 1", 0.5) == "0.5"
    assert window.run("return playground.parameters[6]") == 0.5
    window.run(
        "document.getElementById('reset-constants').click(); document.getElementById('reset-parameters').click()"
    )
    assert window.run(SLIDER, "#constants", "gravity", None) == "9.8"
    assert window.run("return playground.parameters") == pytest.approx(BALANCING, rel=1e-6)


def test_a_hand_pulls_the_cart_away(window) -> None:
    window.run("document.getElementById('restart').click()")
    cart = window.run(PLACE, "scene", 0.5, 0.79)
    window.hold(cart, (cart[0] + 250, cart[1]))
    end = time.monotonic() + 10
    while not window.run("return playground.play.returns.length") and time.monotonic() < end:
        time.sleep(0.05)
    window.release()
    assert window.run("return playground.play.returns[0]") < 100


def test_a_hand_holds_a_neuron(window) -> None:
    window.run("document.getElementById('restart').click()")
    top = window.run(PLACE, "neurons", 0.25, 0.02)
    window.hold(top, (top[0] + 1, top[1]))
    time.sleep(0.3)
    reach = "Math.max(...playground.record.rows.flatMap((row) => row.potentials.map(Math.abs)))"
    held, most = window.run(f"return [playground.neuron.held, {reach}]")
    window.release()
    assert held[0] == 0
    assert held[1] > 0.8
    assert most > 0.5
    assert window.run("return playground.neuron.held") is None


@pytest.mark.slow
def test_a_hundred_play_at_once_and_evolve(window) -> None:
    window.run("document.getElementById('many').click()")
    time.sleep(0.5)
    assert window.run("return playground.play.crowd.members.length") == 100
    assert "still play" in window.run("return document.getElementById('status').textContent")
    window.run("document.getElementById('evolve').click()")
    end = time.monotonic() + 20
    while window.run("return playground.play.crowd.rounds.length") < 2 and time.monotonic() < end:
        time.sleep(0.2)
    assert window.run("return playground.play.crowd.rounds.length") >= 2
    window.run("document.getElementById('one').click()")
    assert window.errors() == []


def test_the_command_writes_a_small_page(policy, tmp_path, capsys) -> None:
    policy.save(tmp_path / "policy.safetensors")
    assert main(["playground", str(tmp_path / "policy.safetensors"), "--out", str(tmp_path / "page.html")]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    assert (tmp_path / "page.html").stat().st_size < 100_000
