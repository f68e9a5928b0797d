#!/usr/bin/env bash
# Set up and pass the tests: bash scripts/test.sh [arguments of pytest, for example -m slow]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test
# On the cores that there are, at most four; -n 0 is one process.
exec "$python" -m pytest -n logical --maxprocesses 4 --dist loadfile "$@"
