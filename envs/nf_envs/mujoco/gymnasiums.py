"""Where Gymnasium keeps its models."""

from pathlib import Path

import gymnasium

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
