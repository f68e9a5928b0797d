#!/usr/bin/env bash
# Set up, evolve a policy that balances a pole without seeing velocities, and play it: bash scripts/quickstart.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" video

began=$SECONDS
echo "Evolving a neural field for CartPole-v1, velocities hidden ..."
policy=$("$python" -m nf_policies evolve CartPole-v1 --hide-velocity --target 495 --json |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["policy"])')
run=$(dirname "$policy")
"$python" -m nf_policies rollout "$policy" --video "$run/film.mp4" --plot "$run/field.png"

cat <<END

Done in $((SECONDS - began)) seconds. In $run you find
    best.safetensors      the policy
    learning_curve.png    how it was found
    film.mp4, field.png   an episode of it, and what its neurons did

Next, for example
    source .venv/bin/activate
    nf-policies rollout $policy --episodes 1000
    nf-policies evolve Pendulum-v1 --hide-velocity
    nf-policies --help
END
