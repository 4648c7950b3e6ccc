"""Names beside points, put where they cover least."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dpc.report.svg import color

FONT = 7.5  # points
OFFSETS = (  # points from the anchor, horizontal and vertical alignment; earlier is preferred
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
    (6, 6, "left", "bottom"),
    (6, -6, "left", "top"),
    (-6, 6, "right", "bottom"),
    (-6, -6, "right", "top"),
    (0, 16, "center", "bottom"),
    (0, -16, "center", "top"),
    *((x, y, "left", "center") for x in (24, 46) for y in (0, 10, -10, 20, -20, 30, -30)),
)
FAR = 20  # points from which on a line leads from the name to its anchor
Box = tuple[float, float, float, float]  # left, bottom, right, top in points


def place(
    axes: Axes,
    anchors: Mapping[str, tuple[float, float]],
    points: Sequence[tuple[float, float]],
) -> None:
    """Write each name at its anchor, on the side where it overlaps points and names least.

    Args:
        axes: with its limits set; what is drawn later must not change them.
        anchors: name -> data coordinates.
        points: data coordinates of every marker.
    """
    inch = axes.figure.dpi
    width, height = 72 * axes.bbox.width / inch, 72 * axes.bbox.height / inch

    def at(point: tuple[float, float]) -> tuple[float, float]:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        return (
            width * (point[0] - left) / (right - left),
            height * (point[1] - bottom) / (top - bottom),
        )

    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in map(at, points)]
    page = (0.0, 0.0, width, height)
    for name, anchor in anchors.items():
        x, y = at(anchor)
        boxes = [_box(name, x + dx, y + dy, h, v) for dx, dy, h, v in OFFSETS]
        costs = [
            sum(_overlap(box, other) for other in taken) + _outside(box, page) for box in boxes
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        dx, dy, horizontal, vertical = OFFSETS[best]
        axes.annotate(
            name,
            anchor,
            (dx, dy),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            arrowprops=_leader() if abs(dx) > FAR else None,
            fontsize=FONT,
            color=color("ink"),
            zorder=5,
        )


def _leader() -> dict[str, Any]:
    shape: dict[str, Any] = {"arrowstyle": "-", "shrinkA": 0, "shrinkB": 4}
    return shape | {"color": color("quiet"), "linewidth": 0.5}


def _box(name: str, x: float, y: float, horizontal: str, vertical: str) -> Box:
    width, height = 0.6 * FONT * len(name), 1.1 * FONT
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[horizontal] * width
    bottom = y - {"bottom": 0.0, "center": 0.5, "top": 1.0}[vertical] * height
    return left, bottom, left + width, bottom + height


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, page: Box) -> float:
    """Ten times the area that sticks out: a name cut off is worse than one that overlaps."""
    return 10 * ((box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, page))
