"""Control tasks for small recurrent policies: one environment, or a million on one device.

`import nf_envs` registers the tasks with Gymnasium and loads nothing else:

    gym.make("nf/CartPole-v1", render_mode="human")
    gym.make_vec("nf/CartPole-v1", num_envs=4096, vectorization_mode="vector_entry_point", device="cuda")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nf_envs.registration import register, register_envs

if TYPE_CHECKING:
    from nf_envs.base import Draws, Task
    from nf_envs.building import build
    from nf_envs.listing import catalog
    from nf_envs.numpy_view import NumpyVectorEnv
    from nf_envs.single import SingleEnv
    from nf_envs.vector import TensorVectorEnv

__all__ = [
    "Draws",
    "NumpyVectorEnv",
    "SingleEnv",
    "Task",
    "TensorVectorEnv",
    "build",
    "catalog",
    "register",
    "register_envs",
]

_HOME = {
    "Draws": "base",
    "NumpyVectorEnv": "numpy_view",
    "SingleEnv": "single",
    "Task": "base",
    "TensorVectorEnv": "vector",
    "build": "building",
    "catalog": "listing",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use, so that Gymnasium's entry points need not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"nf_envs.{_HOME[name]}"), name)


register_envs()
