#!/usr/bin/env bash
# What one NVIDIA GPU brings, within ten minutes and without a network: bash benchmarks/gpu.sh [--help]
# It runs from the sources with the Python it finds, or with that of PYTHON.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH="$PWD:$PWD/envs:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-.venv/bin/python}
exec "$(command -v "$python" || command -v python3)" benchmarks/gpu.py "$@"
