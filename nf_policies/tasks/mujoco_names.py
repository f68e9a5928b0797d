"""Names and units of Gymnasium's MuJoCo tasks, from the joints, bodies and actuators of their models."""

from collections.abc import Iterator, Sequence
from typing import Any

FREE, BALL, SLIDE, HINGE = range(4)
"""Kinds of joints, as MuJoCo counts them."""
AXES, TURNS = "xyz", "wxyz"


def mujoco_names(model: Any, task: str, structure: Any, size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of the observations and the actions, as "name [unit]".

    Args:
        model: An mjModel.
        task: Name of the task's class.
        structure: Its `observation_structure`, the number of entries of each kind; None for a task without one, of
            which most are known.
        size: Of its observation.
    """
    positions, velocities = list(positions_of(model)), list(velocities_of(model))
    actions = tuple(actions_of(model))
    if structure is None:
        return tuple(_unstructured(task, positions, velocities, size)), actions
    parts = {
        "qpos": positions[structure.get("skipped_qpos", 0) :],
        "qvel": velocities,
        "cinert": [f"{body}_inertia_{i} [{unit}]" for body in bodies_of(model) for i, unit in enumerate(INERTIA)],
        "cvel": [name for body in bodies_of(model) for name in _spatial(body, "velocity", "rad/s", "m/s")],
        "qfrc_actuator": _forces(velocities, structure.get("qfrc_actuator", 0)),
        "cfrc_ext": [name for body in bodies_of(model) for name in _spatial(body, "contact", "N m", "N")],
        "ten_length": [f"tendon_{i}_length [m]" for i in range(model.ntendon)],
        "ten_velocity": [f"tendon_{i}_velocity [m/s]" for i in range(model.ntendon)],
    }
    found: list[str] = []
    for kind, count in structure.items():
        if not kind.startswith("skipped"):
            names = parts.get(kind, [])
            found += names if len(names) == count else [f"{kind}_{i}" for i in range(count)]
    return tuple(found) if len(found) == size else (), actions


INERTIA = ("kg m^2",) * 6 + ("kg m",) * 3 + ("kg",)
"""Units of a row of mjData.cinert: moments of inertia, mass times offset, mass."""


def _joints(model: Any) -> Iterator[tuple[str, int]]:
    for i, kind in enumerate(model.jnt_type):
        yield model.joint(i).name or f"joint_{i}", int(kind)


def positions_of(model: Any) -> Iterator[str]:
    """Of each entry of qpos."""
    return _coordinates(model, "position [m]", [f"orientation_{axis} [1]" for axis in TURNS], "angle [rad]")


def velocities_of(model: Any) -> Iterator[str]:
    """Of each entry of qvel."""
    turning = "angular_velocity [rad/s]"
    return _coordinates(model, "velocity [m/s]", [f"{axis}_{turning}" for axis in AXES], turning)


def _coordinates(model: Any, moved: str, turns: Sequence[str], turned: str) -> Iterator[str]:
    """Of each entry of the joints: along a line, about a point, about a hinge."""
    for joint, kind in _joints(model):
        if kind == FREE:
            yield from (f"{joint}_{axis}_{moved}" for axis in AXES)
        if kind in (FREE, BALL):
            yield from (f"{joint}_{turn}" for turn in turns)
        else:
            yield f"{joint}_{moved if kind == SLIDE else turned}"


def actions_of(model: Any) -> Iterator[str]:
    """Of each actuator; the gear of a joint's motor is a part of its unit."""
    joints = list(_joints(model))
    for i in range(model.nu):
        name = model.actuator(i).name
        if model.actuator_trntype[i] != 0 or model.actuator_biastype[i] != 0:  # not a plain motor of a joint
            yield name or f"actuator_{i}"
            continue
        joint, kind = joints[int(model.actuator_trnid[i][0])]
        gear = f"{float(model.actuator_gear[i][0] * model.actuator_gainprm[i][0]):g} ".removeprefix("1 ")
        yield f"{name or joint}_force [{gear}N]" if kind == SLIDE else f"{name or joint}_torque [{gear}N m]"


def bodies_of(model: Any) -> list[str]:
    """Of each body but the world."""
    return [model.body(i).name or f"body_{i}" for i in range(1, model.nbody)]


def _spatial(body: str, what: str, turning: str, moving: str) -> Iterator[str]:
    """Of a row of six, rotation first."""
    words = ("angular_velocity", "velocity") if what == "velocity" else (f"{what}_torque", f"{what}_force")
    for word, unit in zip(words, (turning, moving), strict=True):
        yield from (f"{body}_{axis}_{word} [{unit}]" for axis in AXES)


def _forces(velocities: list[str], count: int) -> list[str]:
    """Of the actuators' forces on the last joints."""
    found = []
    for name in velocities[len(velocities) - count :]:
        turning = name.endswith("[rad/s]")
        joint = name.removesuffix("_angular_velocity [rad/s]" if turning else "_velocity [m/s]")
        found.append(f"{joint}_motor_torque [N m]" if turning else f"{joint}_motor_force [N]")
    return found


def _unstructured(task: str, positions: list[str], velocities: list[str], size: int) -> list[str]:
    if task == "InvertedDoublePendulumEnv":
        hinges = [name.removesuffix(" [rad]") for name in positions[1:]]
        turned = [f"{hinge}_{function} [1]" for function in ("sine", "cosine") for hinge in hinges]
        forces = ["slider_constraint_force [N]", *(f"{joint}_constraint_torque [N m]" for joint in ("hinge", "hinge2"))]
        return [positions[0], *turned, *velocities, *forces[: size - 8]]
    if task == "ReacherEnv":
        turned = [f"joint{i}_angle_{function} [1]" for function in ("cosine", "sine") for i in (0, 1)]
        goal = [f"fingertip_from_target_{axis} [m]" for axis in AXES[: size - 8]]
        place = [f"target_{axis}_position [m]" for axis in AXES[:2]]
        return [*turned, *place, *velocities[:2], *goal]
    if task == "PusherEnv":
        places = [f"{body}_{axis}_position [m]" for body in ("tips_arm", "object", "goal") for axis in AXES]
        return [*positions[:7], *velocities[:7], *places]
    # Those of version 4 show their positions, but perhaps the first one or two, and their velocities.
    skipped = len(positions) + len(velocities) - size
    return [*positions[skipped:], *velocities] if 0 <= skipped <= 2 else []
