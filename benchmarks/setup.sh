#!/usr/bin/env bash
# Makes .bench-venv with everything that the benchmarks are run against: .bench-venv/bin/python benchmarks/engine.py
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3.11 -m venv .bench-venv
install="env PIP_DISABLE_PIP_VERSION_CHECK=1 .bench-venv/bin/python -m pip install --quiet --constraint constraints.txt"
$install --editable ".[bench]"
$install --no-deps gymnax # 1.0.1 asks for Gymnasium below 1.4; its tasks, all that is used of it, do not
