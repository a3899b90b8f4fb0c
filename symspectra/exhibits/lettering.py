"""Text in pictures: breaking it into lines of a width, and writing labels beside points without collisions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from symspectra.exhibits.style import LABEL_BOX

LETTER = 0.055  # inches, a letter of 6.5 pt
SIDES = (  # where a label stands: direction from its point, and the corner of the label that lies there
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
    (0.6, 1, "left", "bottom"),
    (-0.6, 1, "right", "bottom"),
    (0.6, -1, "left", "top"),
    (-0.6, -1, "right", "top"),
)


def wrapped(text: str, inches: float) -> str:
    """Text in lines of at most so many inches at 6.5 pt; words are not broken, line breaks stay."""
    width = max(1, int(inches / LETTER))
    return "\n".join(textwrap.fill(line, width, break_long_words=False) for line in text.split("\n"))


def write_apart(ax: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Write labels near their points, each where it covers fewest points and no other label.

    A thin line leads to a label that had to move away.
    """
    dots = np.concatenate([ax.transData.transform(np.ma.getdata(c.get_offsets())) for c in ax.collections])
    taken: list[Bbox] = []
    frame = ax.get_window_extent()
    for label, place in sorted(places.items(), key=lambda item: item[1]):
        tried = []
        for far in (4, 12, 20, 30):
            for dx, dy, ha, va in SIDES:
                side = {"textcoords": "offset points", "ha": ha, "va": va, "fontsize": 6, "bbox": LABEL_BOX}
                text = ax.annotate(label, place, (far * dx, far * dy), **side)
                text.set_in_layout(False)
                box = text.get_window_extent()
                outside = not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
                cost = 20 * sum(box.overlaps(other) for other in taken) + 40 * outside + box.count_contains(dots)
                tried.append((cost + far / 10, len(tried), far, text))
                text.set_visible(False)
        *_, far, text = min(tried)
        text.set_visible(True)
        taken.append(text.get_window_extent())
        if far > 4:
            line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": 1}
            ax.annotate("", place, text.xyann, textcoords="offset points", arrowprops=line).set_in_layout(False)
        for *_, other in tried:
            if other is not text:
                other.remove()
