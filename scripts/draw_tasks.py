"""Draw the pictures of docs/tasks.md: every task a little after its start, without a display.

python scripts/draw_tasks.py [folder]
"""

import os
import sys
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"

import gymnasium as gym
import matplotlib.image
import numpy as np

import nf_envs

STATES = {
    "MotorCartPoleBalance": (0.05, 3.0, 0.0, 0.0),
    "MotorCartPoleSwingUp": (-0.1, 0.9, 0.0, 0.0),
    "FurutaBalance": (0.4, 2.9, 0.0, 0.0),
    "FurutaSwingUp": (0.8, 1.0, 0.0, 0.0),
    "BallOnBeam": (0.7, -0.15, 0.0, 0.0),
    "BallBalancer": (0.3, -0.5, 0.06, 0.04, 0.0, 0.0, 0.0, 0.0),
    "DampedPendulum": (2.2, 0.0),
    "CartPoleSwingUp": (0.5, 0.0, 2.2, 0.0),
    "SinglePole": (0.4, 0.0, 0.12, 0.0),
    "DoublePole": (-0.3, 0.0, 0.15, 0.0, -0.3, 0.0),
    "Pendulum": (0.7, 0.0),
    "Acrobot": (0.6, 0.7, 0.0, 0.0),
    "MountainCar": (-0.9, 0.0),
    "MountainCarContinuous": (0.1, 0.0),
    "CartPole": (0.3, 0.0, 0.12, 0.0),
    "InvertedPendulum": (0.2, 0.15, 0.0, 0.0),
    "InvertedDoublePendulum": (-0.2, 0.15, -0.3, 0.0, 0.0, 0.0),
    "Hopper": (0.0, 1.2, 0.1, -0.3, -0.5, 0.4, *6 * [0.0]),
    "Walker2d": (0.0, 1.2, 0.1, -0.1, -0.4, 0.2, -0.9, -0.6, 0.1, *9 * [0.0]),
    "HalfCheetah": (0.0, 0.0, -0.1, 0.4, -0.3, 0.2, -0.5, 0.4, -0.3, *9 * [0.0]),
    "Swimmer": (0.0, 0.0, 0.3, -0.6, 0.8, *5 * [0.0]),
    "TMaze": (1.0, 12.0, 5.0, 0.0),
}
"""States that show what the task is about; the others are shown at their start."""


def main(folder: Path) -> None:
    """Write one .png per task that is no variant of another."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in nf_envs.catalog():
        name = task.id.removeprefix("nf/").rpartition("-")[0]
        if "NoVel" in name:
            continue
        env = gym.make(task.id, render_mode="rgb_array")
        env.reset(seed=1, options={"state": STATES[name]} if name in STATES else None)
        frame = np.asarray(env.render())
        env.close()
        # Half the size is enough for a page.
        height, width = (side // 2 * 2 for side in frame.shape[:2])
        half = frame[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
        matplotlib.image.imsave(folder / f"{name}.png", half.astype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))
