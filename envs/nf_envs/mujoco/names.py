"""Names and units of a model's positions, velocities and actuators."""

from collections.abc import Iterator

import mujoco

FREE, BALL, SLIDE = mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_SLIDE


def _joints(model: mujoco.MjModel) -> Iterator[tuple[str, int]]:
    for i, kind in enumerate(model.jnt_type):
        yield model.joint(i).name or f"joint_{i}", int(kind)


def positions(model: mujoco.MjModel) -> tuple[str, ...]:
    """Name and unit of each entry of qpos, as "name [unit]"."""
    found: list[str] = []
    for joint, kind in _joints(model):
        if kind == FREE:
            found += [f"{joint}_{axis}_position [m]" for axis in "xyz"]
        if kind in (FREE, BALL):
            found += [f"{joint}_orientation_{axis} [1]" for axis in "wxyz"]
        else:
            found.append(f"{joint}_position [m]" if kind == SLIDE else f"{joint}_angle [rad]")
    return tuple(found)


def velocities(model: mujoco.MjModel) -> tuple[str, ...]:
    """Name and unit of each entry of qvel."""
    found: list[str] = []
    for joint, kind in _joints(model):
        if kind == FREE:
            found += [f"{joint}_{axis}_velocity [m/s]" for axis in "xyz"]
        if kind in (FREE, BALL):
            found += [f"{joint}_{axis}_angular_velocity [rad/s]" for axis in "xyz"]
        else:
            found.append(f"{joint}_velocity [m/s]" if kind == SLIDE else f"{joint}_angular_velocity [rad/s]")
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
