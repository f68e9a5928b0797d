"""nf-policies playground: what it writes, and what it refuses."""

import json
import re
from importlib.resources import files

from gymnasium import spaces

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main
from nf_policies.commands.playground import untrained
from nf_policies.playground.page import PLAYED, SHOWN, page
from tests.envs.all_tasks import BARE, core


def test_without_a_file_the_page_shows_a_policy_that_has_learned_nothing(tmp_path, capsys) -> None:
    assert main(["playground", "--out", str(tmp_path / "page.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert told == {"page": str(tmp_path / "page.html"), "bytes": len(text.encode()), "env_id": "nf/CartPoleNoVel-v1"}
    assert told["bytes"] < 500_000
    assert "has learned nothing yet" in text
    assert "of the observation" not in text.partition("<main>")[0]  # the task itself hides the velocities
    assert not re.search(r"""(src|href)=|https?://(?!json)|@import|fetch\(""", text), "a page that loads something"


def test_the_page_of_a_large_policy_is_small_enough() -> None:
    policy = untrained("nf/Pendulum-v1")
    policy.field = SimpleNeuralField(3, 1, 36, dynamics="linear", activation="tanh")
    assert policy.n_parameters > 1400
    assert len(page(policy, "Pendulum-v1").encode()) < 500_000


def test_words_of_a_file_do_not_become_part_of_the_page() -> None:
    text = page(untrained("nf/Pendulum-v1"), "nf/Pendulum-v1", says="</p><script>alert(1)</script>")
    assert text.count("<script") == 1


def test_a_policy_for_another_task_is_refused(tmp_path, capsys) -> None:
    box, choice = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    policy = Policy(SimpleNeuralField(2, 1), box, choice)
    file = tmp_path / "policy.safetensors"
    policy.save(file)
    assert main(["playground", str(file)]) == 1
    assert "does not say which task it is for" in capsys.readouterr().err
    assert main(["playground", str(file), "--env", "CartPole-v1"]) == 1
    assert "The policy sees Box(-1.0, 1.0, (2,), float32)" in capsys.readouterr().err
    assert main(["playground", str(file), "--env", "FrozenLake-v1"]) == 1
    assert "The physics of FrozenLake-v1 cannot be put on a page" in capsys.readouterr().err


def test_every_file_of_the_page_is_used_and_every_task_has_a_drawing() -> None:
    folder = files("nf_policies.playground") / "page"
    assert sorted(file.name for file in folder.iterdir()) == sorted((*PLAYED, *SHOWN, "index.html", "style.css"))
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SHOWN)
    drawn = set(re.findall(r"^scenes\.(\w+) =", script, re.MULTILINE))
    assert {type(core(env_id).physics).__name__ for env_id in BARE} == drawn
