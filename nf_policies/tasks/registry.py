"""Where tasks and wrappers are found: in Gymnasium's registry, in packages, in modules and in files."""

import functools
import importlib
import sys
import warnings
import zlib
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from nf_policies.tasks.faults import TaskError


@functools.cache
def register_installed() -> None:
    """Register the tasks of installed packages, which Gymnasium 1 no longer does by itself; a broken one is skipped."""
    for entry in entry_points(group="gymnasium.envs"):
        try:
            entry.load()()
        except Exception as error:  # whatever another package does wrong
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"The tasks of the installed package {entry.value} are skipped, for it fails with {reason}."
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def found(env_id: str) -> str | EnvSpec:
    """What `gymnasium.make` takes for an id; the module or file that it names is imported first.

    Args:
        env_id: A Gymnasium id, alone or after `package.module:` or `path/to/file.py:`. A class or function there is a
            task too, without being registered. `envpool:` is followed by EnvPool's id.
    Raises: TaskError if there is no such file; what an import raises.
    """
    register_installed()
    where, _, name = env_id.rpartition(":")
    if not where:
        return name
    if where == "envpool":
        return pool_of(name)
    module = imported(where)
    if name not in gym.registry and callable(made := getattr(module, name, None)):
        return EnvSpec(id=name, entry_point=made)
    return name


def registry_id(env_id: str) -> str:
    """The id that Gymnasium's registry has for an id as `found` takes it."""
    where, _, name = env_id.rpartition(":")
    return f"{where}/{name}" if where == "envpool" else name


def pool_of(name: str) -> str:
    """The id of an EnvPool task in Gymnasium's registry.

    Raises: TaskError if there is no such task, or no EnvPool.
    """
    try:
        import envpool
    except ImportError as error:
        raise TaskError(f"envpool:{name} needs EnvPool: pip install 'nf-policies[envpool]'.") from error
    if name not in envpool.list_all_envs():
        raise TaskError(f"EnvPool has no task {name}: envpool.list_all_envs() lists them.")
    env_id = registry_id(f"envpool:{name}")
    if env_id not in gym.registry:
        limit = envpool.make_spec(name).config.max_episode_steps
        pool = "nf_policies.tasks.pools:Pool"
        gym.register(env_id, vector_entry_point=pool, max_episode_steps=limit, kwargs={"pool": name})
    return env_id


def imported(where: str) -> ModuleType:
    """A module by its dotted name, or by the path of its file, whose folder then serves for imports as a script's."""
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where).resolve()
    if not path.is_file():
        raise TaskError(f"There is no file {where}.")
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_{zlib.crc32(bytes(path)):08x}"
    for known in (path.stem, name):
        if known in sys.modules and getattr(sys.modules[known], "__file__", None) == str(path):
            return sys.modules[known]
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def attribute(path: str) -> Any:
    """What `package.module:name` or `path/to/file.py:name` names; a TaskError if there is no such thing."""
    where, _, name = path.rpartition(":")
    module = imported(where)
    if not hasattr(module, name):
        raise TaskError(f"There is no {name} in {where}.")
    return getattr(module, name)
