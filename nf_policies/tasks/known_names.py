"""Names and units of Gymnasium's own tasks without MuJoCo, by their classes (of version 1.3)."""

from typing import NamedTuple


class Known(NamedTuple):
    """What a class of tasks shows, and what it takes in each of its versions."""

    observation: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]


_PUSHES = ("push_left", "push_nothing", "push_right")
_BIPEDAL_LEGS = (
    (f"hip_{leg}_angle [rad]", f"hip_{leg}_angular_velocity [4 rad/s]", f"knee_{leg}_angle [rad]",
     f"knee_{leg}_angular_velocity [6 rad/s]", f"leg_{leg}_contact [1]")
    for leg in (1, 2)
)  # fmt: skip

KNOWN: dict[str, Known] = {
    "CartPole": Known(
        ("cart_position [m]", "cart_velocity [m/s]", "pole_angle [rad]", "pole_angular_velocity [rad/s]"),
        (("push_left [10 N]", "push_right [10 N]"),),
    ),
    "MountainCar": Known(
        ("position [m]", "velocity [m/step]"), (tuple(f"{push} [0.001 m/step^2]" for push in _PUSHES),)
    ),
    "Continuous_MountainCar": Known(("position [m]", "velocity [m/step]"), (("force [0.0015 m/step^2]",),)),
    "Pendulum": Known(("angle_cosine [1]", "angle_sine [1]", "angular_velocity [rad/s]"), (("torque [N m]",),)),
    "Acrobot": Known(
        (
            *(f"joint_{joint}_angle_{function} [1]" for joint in (1, 2) for function in ("cosine", "sine")),
            *(f"joint_{joint}_angular_velocity [rad/s]" for joint in (1, 2)),
        ),
        (("torque_negative [N m]", "torque_zero [N m]", "torque_positive [N m]"),),
    ),
    "LunarLander": Known(
        (
            "x_position [10 m]",
            "y_position [6.667 m]",
            "x_velocity [5 m/s]",
            "y_velocity [7.5 m/s]",
            "angle [rad]",
            "angular_velocity [2.5 rad/s]",
            "left_leg_contact [1]",
            "right_leg_contact [1]",
        ),
        (
            ("fire_nothing [1]", "fire_left_engine [1]", "fire_main_engine [1]", "fire_right_engine [1]"),
            ("main_engine [1]", "side_engines [1]"),
        ),
    ),
    "BipedalWalker": Known(
        (
            "hull_angle [rad]",
            "hull_angular_velocity [25 rad/s]",
            "hull_x_velocity [8.333 m/s]",
            "hull_y_velocity [12.5 m/s]",
            *(name for leg in _BIPEDAL_LEGS for name in leg),
            *(f"lidar_{ray}_distance [5.333 m]" for ray in range(1, 11)),
        ),
        (tuple(f"{joint}_{leg}_torque [80 N m]" for leg in (1, 2) for joint in ("hip", "knee")),),
    ),
    "CarRacing": Known(
        (), (("do_nothing", "steer_right", "steer_left", "gas", "brake"), ("steering [1]", "gas [1]", "brake [1]"))
    ),
    "Blackjack": Known(("player_sum [1]", "dealer_card [1]", "usable_ace [1]"), (("stick", "hit"),)),
    "FrozenLake": Known(("cell [1]",), (("left", "down", "right", "up"),)),
    "CliffWalking": Known(("cell [1]",), (("up", "right", "down", "left"),)),
    "Taxi": Known(("state [1]",), (("south", "north", "east", "west", "pick_up", "drop_off"),)),
}
