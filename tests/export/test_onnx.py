"""ONNX: valid in old and new opsets, in batches, with the card, and in the browser's runtime."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from every_policy import make, play

from nf_policies.export.loaded import InOnnx, load
from nf_policies.export.write import Request, write

onnx = pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("onnxruntime", reason="needs the extra export")
NEWEST = min(onnx.defs.onnx_opset_version(), 25)
"""That onnxruntime runs."""


@pytest.mark.parametrize("opset", [18, NEWEST])
@pytest.mark.parametrize(("field", "head"), [("lstm", "multi_discrete"), ("memoryless", "multi_binary")])
def test_rows_of_a_batch_do_not_see_each_other(field, head, opset, tmp_path) -> None:
    policy = make(field, head)
    path = write(policy, "onnx", tmp_path / "policy", Request(opset=opset))[0]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset
    assert [entry.name for entry in model.graph.input] == ["observation", "memory", "episode_start"]
    assert [entry.name for entry in model.graph.output] == ["action", "memory_after"]
    loaded = load(path)
    assert isinstance(loaded, InOnnx)
    rng = np.random.default_rng(0)
    inputs = {
        "observation": rng.normal(size=(64, 3)).astype(np.float32),
        "memory": rng.normal(size=(64, loaded.initial.shape[1])).astype(np.float32),
        "episode_start": rng.random(64) < 0.5,
    }
    together = loaded.session.run(None, inputs)
    alone = [loaded.session.run(None, {name: value[i : i + 1] for name, value in inputs.items()}) for i in range(64)]
    for k, whole in enumerate(together):
        np.testing.assert_allclose(np.concatenate([row[k] for row in alone]), whole, atol=1e-6)


def test_initial_memory_and_card_are_in_the_metadata(tmp_path) -> None:
    policy = make("gru", "two")
    loaded = load(write(policy, "onnx", tmp_path / "policy", Request())[0])
    kept = loaded.session.get_modelmeta().custom_metadata_map  # type: ignore[attr-defined]
    assert json.loads(kept["initial_memory"]) == policy.field.start(1)[0].tolist()
    assert json.loads(kept["card"]) == loaded.card


IN_NODE = """
const ort = require("onnxruntime-web");
const { path, rows, starts, memory } = JSON.parse(require("fs").readFileSync(0));
(async () => {
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(require("fs").readFileSync(path));
    let state = new ort.Tensor("float32", new Float32Array(memory), [1, memory]);
    const actions = [];
    for (let t = 0; t < rows.length; t++) {
        const found = await session.run({
            observation: new ort.Tensor("float32", Float32Array.from(rows[t]), [1, rows[t].length]),
            memory: state,
            episode_start: new ort.Tensor("bool", Uint8Array.of(starts[t]), [1]),
        });
        state = found.memory_after;
        actions.push(Array.from(found.action.data, Number));
    }
    console.log(JSON.stringify(actions));
})();
"""


@pytest.mark.slow
@pytest.mark.parametrize(("field", "head"), [("simple_cubic", "tanh"), ("neural", "five"), ("lstm", "multi_discrete")])
def test_the_runtime_of_browsers_does_what_the_policy_does(field, head, tmp_path) -> None:
    folders = [Path(os.environ.get("NODE_PATH", "node_modules")), Path("/usr/lib/node_modules")]
    modules = next((folder for folder in folders if (folder / "onnxruntime-web").exists()), None)
    if shutil.which("node") is None or modules is None:
        pytest.skip("no onnxruntime-web: npm install --no-save onnxruntime-web")
    policy = make(field, head)
    episodes = play(policy, 300, 1)
    path = write(policy, "onnx", tmp_path / "policy", Request())[0]
    given = {
        "path": str(path),
        "rows": episodes.observations[:, 0].tolist(),
        "starts": episodes.starts[:, 0].astype(int).tolist(),
        "memory": load(path).card["memory"]["size"],
    }
    script = tmp_path / "play.cjs"
    script.write_text(IN_NODE)
    environment = os.environ | {"NODE_PATH": str(modules.absolute())}
    words, text = ["node", script], json.dumps(given)
    done = subprocess.run(words, input=text, env=environment, capture_output=True, text=True, check=True)
    difference = np.abs(np.array(json.loads(done.stdout)) - episodes.actions[:, 0]).max(-1)
    assert difference[episodes.margins[:, 0] > 1e-5].max() <= 4e-6  # of actions up to 4
