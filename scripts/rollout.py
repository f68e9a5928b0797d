"""Play a saved policy, film its first episode and draw what its field did.

python scripts/rollout.py cartpole.safetensors
"""

import sys
from pathlib import Path

from nf_policies import Policy
from nf_policies.rollouts import Recorder, film, plot_recording, rollout


def main(file: str) -> None:
    """Load a policy file and play the task that it was made for."""
    policy = Policy.load(file)
    if policy.env_id is None:
        raise SystemExit(f"{file} does not say which task it is for.")
    print(policy)
    recorder = Recorder()
    print(rollout(policy, policy.env_id, episodes=100, seed=0, watch=recorder))
    plot_recording(recorder.recording(), Path("rollout.png"), visible=policy.visible)
    film(policy, policy.env_id, Path("rollout.mp4"), seed=0)
    print("wrote rollout.png and rollout.mp4")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python scripts/rollout.py POLICY_FILE")
    main(sys.argv[1])
