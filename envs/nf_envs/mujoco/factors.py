"""Physics that differs between lanes: factors on a model's own values."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import torch

from nf_envs.base import Constant, NonNegative, Positive


@dataclass(frozen=True)
class Factors:
    """Factors on a model's own values; 1 leaves it as it is.

    Attributes:
        mass: Of all masses and inertias.
        friction: Of all contacts.
        damping: Of all joints.
        gravity: Of its acceleration.
        strength: Of the forces of all motors and servos; muscles keep theirs.
    """

    mass: Positive = 1.0
    friction: NonNegative = 1.0
    damping: NonNegative = 1.0
    gravity: NonNegative = 1.0
    strength: NonNegative = 1.0


_FIELDS = {
    "mass": ("body_mass", "body_inertia"),
    "friction": ("geom_friction",),
    "damping": ("dof_damping",),
    "gravity": ("gravity",),
    "strength": ("actuator_gainprm", "actuator_biasprm"),
}
"""What each factor changes."""


def scaled_fields(model: mujoco.MjModel, factors: Factors) -> dict[str, np.ndarray]:
    """The fields of mjModel and mjOption that factors change, by name; (n, ...) where a factor is (n,)."""
    fields: dict[str, np.ndarray] = {}
    for name, of in _FIELDS.items():
        factor = getattr(factors, name)
        if isinstance(factor, torch.Tensor) or factor != 1:
            for field in of:
                own = model.opt.gravity if field == "gravity" else getattr(model, field)
                fields[field] = per_lane(factor, own) * own
                if name == "strength":  # a muscle's parameters are not forces
                    linear = model.actuator_gaintype <= int(mujoco.mjtGain.mjGAIN_AFFINE)
                    fields[field] = np.where(linear[:, None], fields[field], own)
    return fields


def with_entry(values: np.ndarray, index: int, constant: Constant) -> np.ndarray:
    """A field of the model, one number per body, joint or other thing, with one of them set to a constant.

    Args:
        values: Shape: (size,), or (n, size) with one row per lane.
        index: Of the thing.
        constant: A number, or one per lane (n,).
    Returns: (n, size), or (size,) where nothing differs between lanes.
    """
    new = np.asarray(constant, dtype=np.float64)
    lanes = np.broadcast_shapes(values.shape[:-1], new.shape)
    changed = np.array(np.broadcast_to(values, (*lanes, values.shape[-1])))
    changed[..., index] = new
    return changed


def per_lane(constant: Any, like: np.ndarray) -> np.ndarray:
    """A constant (n,) with axes of size 1 for those of `like`; a number stays one."""
    array = np.asarray(constant, dtype=np.float64)
    return array.reshape(array.shape + (1,) * like.ndim) if array.ndim else array
