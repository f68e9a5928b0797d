"""Pictures of tasks: shapes in metres, drawn with pygame.

A task describes a `Picture` in its own units, y upwards; this module turns it into pixels. It draws at twice the size
and scales down, which smooths every edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

Point = tuple[float, float]

PIXELS_WIDE = 600
_FINER = 2

COLOURS = {
    "paper": (250, 250, 247),
    "ground": (120, 124, 130),
    "body": (58, 76, 104),
    "link": (214, 122, 70),
    "joint": (245, 214, 140),
    "ball": (196, 62, 78),
    "goal": (112, 168, 120),
    "faint": (222, 224, 222),
    "text": (70, 74, 82),
}


@dataclass
class Picture:
    """Shapes in drawing order, centred on `centre`; lengths in the units of the task."""

    width: float
    height: float
    centre: Point = (0.0, 0.0)
    shapes: list[tuple[Any, ...]] = field(default_factory=list)

    def line(self, start: Point, end: Point, thickness: float, colour: str) -> None:
        """A straight bar with round ends."""
        self.shapes.append(("line", start, end, thickness, colour))

    def polygon(self, points: Sequence[Point], colour: str) -> None:
        """A filled polygon."""
        self.shapes.append(("polygon", tuple(points), colour))

    def box(self, centre: Point, size: Point, colour: str) -> None:
        """A filled rectangle."""
        (x, y), (w, h) = centre, (size[0] / 2, size[1] / 2)
        self.polygon([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], colour)

    def disc(self, centre: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        self.shapes.append(("disc", centre, radius, colour))

    def text(self, centre: Point, words: str, height: float, colour: str = "text") -> None:
        """Words, centred."""
        self.shapes.append(("text", centre, words, height, colour))


class Screen:
    """A window, or an array of pixels.

    Args:
        mode: "human" or "rgb_array".
        fps: Pictures per second in a window.
    Raises: DependencyNotInstalled without pygame.
    """

    def __init__(self, mode: str, fps: int) -> None:
        self.mode = mode
        self.fps = fps
        self.pygame = _pygame()
        self.window: Any = None
        self.clock: Any = None

    def show(self, picture: Picture) -> np.ndarray | None:
        """Show a picture; returns it as an array (height, width, 3) of uint8 if there is no window."""
        surface = self._draw(picture)
        if self.mode != "human":
            return np.ascontiguousarray(self.pygame.surfarray.array3d(surface).transpose(1, 0, 2))
        if self.window is None:
            self.pygame.display.init()
            self.window = self.pygame.display.set_mode(surface.get_size())
            self.clock = self.pygame.time.Clock()
        self.window.blit(surface, (0, 0))
        self.pygame.event.pump()
        self.clock.tick(self.fps)
        self.pygame.display.flip()
        return None

    def close(self) -> None:
        """Close the window; a second time is harmless."""
        if self.window is not None:
            self.pygame.display.quit()
            self.window = None

    def _draw(self, picture: Picture) -> Any:
        scale = PIXELS_WIDE * _FINER / picture.width
        size = (PIXELS_WIDE * _FINER, round(picture.height * scale))
        surface = self.pygame.Surface(size)
        surface.fill(COLOURS["paper"])

        def pixel(point: Point) -> Point:
            x, y = point[0] - picture.centre[0], point[1] - picture.centre[1]
            return size[0] / 2 + x * scale, size[1] / 2 - y * scale

        for kind, *shape in picture.shapes:
            colour = COLOURS[shape[-1]]
            if kind == "line":
                start, end, width = pixel(shape[0]), pixel(shape[1]), max(shape[2] * scale, 1)
                self.pygame.draw.line(surface, colour, start, end, round(width))
                for point in (start, end):
                    self.pygame.draw.circle(surface, colour, point, width / 2)
            elif kind == "polygon":
                self.pygame.draw.polygon(surface, colour, [pixel(point) for point in shape[0]])
            elif kind == "disc":
                self.pygame.draw.circle(surface, colour, pixel(shape[0]), max(shape[1] * scale, 1))
            else:
                self._write(surface, pixel(shape[0]), shape[1], round(shape[2] * scale), colour)
        return self.pygame.transform.smoothscale(surface, (size[0] // _FINER, size[1] // _FINER))

    def _write(self, surface: Any, centre: Point, words: str, height: int, colour: tuple[int, int, int]) -> None:
        self.pygame.font.init()
        letters = self.pygame.font.Font(None, height).render(words, True, colour)
        surface.blit(letters, letters.get_rect(center=centre))


def _pygame() -> Any:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled('Pictures need pygame: pip install "nf-policies[video]".') from error
    return pygame
