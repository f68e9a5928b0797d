"""Names and units of a model's positions, velocities and actuators."""

from collections.abc import Iterator, Sequence

import mujoco

FREE, BALL, SLIDE = mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_SLIDE


def _joints(model: mujoco.MjModel) -> Iterator[tuple[str, int]]:
    for i, kind in enumerate(model.jnt_type):
        yield model.joint(i).name or f"joint_{i}", int(kind)


def positions(model: mujoco.MjModel) -> tuple[str, ...]:
    """Name and unit of each entry of qpos, as "name [unit]"."""
    return _coordinates(model, "position [m]", [f"orientation_{axis} [1]" for axis in "wxyz"], "angle [rad]")


def velocities(model: mujoco.MjModel) -> tuple[str, ...]:
    """Name and unit of each entry of qvel."""
    turning = "angular_velocity [rad/s]"
    return _coordinates(model, "velocity [m/s]", [f"{axis}_{turning}" for axis in "xyz"], turning)


def _coordinates(model: mujoco.MjModel, moved: str, turns: Sequence[str], turned: str) -> tuple[str, ...]:
    """Of each entry of the joints: along a line, about a point, about a hinge."""
    found: list[str] = []
    for joint, kind in _joints(model):
        if kind == FREE:
            found += [f"{joint}_{axis}_{moved}" for axis in "xyz"]
        if kind in (FREE, BALL):
            found += [f"{joint}_{turn}" for turn in turns]
        else:
            found.append(f"{joint}_{moved if kind == SLIDE else turned}")
    return tuple(found)


def actions(model: mujoco.MjModel) -> tuple[str, ...]:
    """Name and unit of each actuator: for a motor of a joint its gear in N or N m, else no unit."""
    joints, found = list(_joints(model)), []
    for i in range(model.nu):
        name = model.actuator(i).name
        if model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT or model.actuator_biastype[i] != 0:
            found.append(name or f"actuator_{i}")
            continue
        joint, kind = joints[model.actuator_trnid[i][0]]
        gear = f"{model.actuator_gear[i][0] * model.actuator_gainprm[i][0]:g} ".removeprefix("1 ")
        found.append(f"{name or joint}_force [{gear}N]" if kind == SLIDE else f"{name or joint}_torque [{gear}N m]")
    return tuple(found)
