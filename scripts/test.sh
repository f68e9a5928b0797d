#!/usr/bin/env bash
# Set up and pass the tests: bash scripts/test.sh [arguments of pytest, for example -m slow]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test
# On as many cores as there are; -n 0 is one process.
exec "$python" -m pytest -n logical --maxprocesses 8 --dist loadfile "$@"
