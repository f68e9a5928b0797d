"""Tasks on MuJoCo: any MJCF model with lanes, and twins of Gymnasium's v5 tasks. Needs the extra `mujoco`."""

from gymnasium.error import DependencyNotInstalled

try:
    import mjbatch  # noqa: F401
except ImportError as error:
    raise DependencyNotInstalled("nf_envs.mujoco needs mjbatch: pip install 'nf-policies[mujoco]'.") from error

from nf_envs.mujoco.arms import Pusher, Reacher
from nf_envs.mujoco.factors import Factors, with_entry
from nf_envs.mujoco.pendulums import InvertedDoublePendulum, InvertedPendulum
from nf_envs.mujoco.runners import HalfCheetah, Hopper, Swimmer, Walker2d
from nf_envs.mujoco.task import MujocoTask

__all__ = [
    "Factors",
    "HalfCheetah",
    "Hopper",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "MujocoTask",
    "Pusher",
    "Reacher",
    "Swimmer",
    "Walker2d",
    "with_entry",
]
