"""Pictures of a model without OpenGL: its shapes seen from the side or from above, as lines and discs."""

from dataclasses import dataclass

import mujoco
import numpy as np

from nf_envs.drawing import Picture

_GEOM = mujoco.mjtGeom
_COLOURS = ("body", "link", "joint", "ball", "goal")


@dataclass(frozen=True)
class View:
    """How a model is seen.

    Attributes:
        above: From above, x and y; else from the side, x and z.
        width: Of the picture, in metres; it is half as high.
        centre: Of the picture.
        follow: Whether the picture moves sideways with the first body.
    """

    above: bool = False
    width: float = 4.0
    centre: tuple[float, float] = (0.0, 0.8)
    follow: bool = False


def picture_of(model: mujoco.MjModel, qpos: np.ndarray, view: View) -> Picture:
    """The shapes of a model in a position (nq,)."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    axes = [0, 1] if view.above else [0, 2]
    x = float(data.xpos[1, 0]) if view.follow and model.nbody > 1 else 0.0
    picture = Picture(view.width, view.width / 2, centre=(view.centre[0] + x, view.centre[1]))
    if view.follow:  # marks on the ground show how far it has moved
        for mark in range(int(x - view.width), int(x + view.width) + 1):
            picture.line((mark, -0.02), (mark, -0.12), 0.02, "faint")
    for i in range(model.ngeom):
        _draw(picture, model, data, i, axes)
    return picture


def _draw(picture: Picture, model: mujoco.MjModel, data: mujoco.MjData, i: int, axes: list[int]) -> None:
    kind, (a, b, c) = _GEOM(model.geom_type[i]), model.geom_size[i]
    middle, turn = data.geom_xpos[i], data.geom_xmat[i].reshape(3, 3)
    colour = _COLOURS[model.geom_bodyid[i] % len(_COLOURS)] if model.geom_bodyid[i] else "ground"

    def flat(point: np.ndarray) -> tuple[float, float]:
        return float(point[axes[0]]), float(point[axes[1]])

    if kind == _GEOM.mjGEOM_PLANE:
        if axes[1] == 2:
            (x, _), z = picture.centre, float(middle[2])
            picture.line((x - picture.width, z - 0.01), (x + picture.width, z - 0.01), 0.02, "ground")
    elif kind in (_GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_CYLINDER):
        along = turn[:, 2] * b
        picture.line(flat(middle - along), flat(middle + along), 2 * a, colour)
    elif kind == _GEOM.mjGEOM_BOX:
        corners = [middle + turn @ (np.array(s) * (a, b, c)) for s in _corners(axes)]
        picture.polygon([flat(corner) for corner in corners], colour)
    elif kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
        picture.disc(flat(middle), float(a), colour)
    else:  # a mesh or a height field: where it is, and how large
        picture.disc(flat(middle), float(model.geom_rbound[i]) / 2, colour)


def _corners(axes: list[int]) -> list[list[float]]:
    """The corners of a box's face towards the eye, in order."""
    corners = []
    for first, second in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corner = [0.0, 0.0, 0.0]
        corner[axes[0]], corner[axes[1]] = first, second
        corners.append(corner)
    return corners
