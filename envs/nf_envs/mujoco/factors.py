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


def scaled_fields(model: mujoco.MjModel, factors: Factors) -> dict[str, np.ndarray]:
    """The fields of mjModel and mjOption that factors change, by name; (n, ...) where a factor is (n,)."""
    linear = np.isin(model.actuator_gaintype, (mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtGain.mjGAIN_AFFINE))
    own: dict[str, tuple[Constant, dict[str, np.ndarray]]] = {
        "mass": (factors.mass, {"body_mass": model.body_mass, "body_inertia": model.body_inertia}),
        "friction": (factors.friction, {"geom_friction": model.geom_friction}),
        "damping": (factors.damping, {"dof_damping": model.dof_damping}),
        "gravity": (factors.gravity, {"gravity": model.opt.gravity}),
        "strength": (
            factors.strength,
            {"actuator_gainprm": model.actuator_gainprm, "actuator_biasprm": model.actuator_biasprm},
        ),
    }
    fields = {}
    for name, (factor, values) in own.items():
        if isinstance(factor, torch.Tensor) or factor != 1:
            for field, value in values.items():
                scaled = per_lane(factor, value) * value
                fields[field] = np.where(linear[:, None], scaled, value) if name == "strength" else scaled
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
