"""Train one peer on one task and print one JSON object: python -m peers METHOD TASK VIEW, from the benchmarks."""

import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("method")
parser.add_argument("task")
parser.add_argument("view", choices=("all", "hidden"))
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--minutes", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--episodes", type=int, required=True)
parser.add_argument("--folder", type=Path, required=True)
options = vars(parser.parse_args())
if options["method"].startswith("evotorch"):
    from peers.evotorch_gym import learn
else:
    from peers.sb3 import learn
print(json.dumps(learn(**options)))
