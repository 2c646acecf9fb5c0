"""Names beside the points of a scatter plot, none of them over another, over a point or over the edge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

SIDES = (
    *((1, 0), (-1, 0), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5)),
    *((0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)),
)
"""Where a name may stand, the best first: to the right and up, each in units of "just off the point"."""
DISTANCES = (4, 9, 16, 24, 34, 46, 60)
"""Between the edge of a point and its name, in points; beyond the first, a line joins them."""

SLACK = 1.05
"""A name's room, in its sizes: letters are fitted to pixels, so they are a little wider at another resolution."""


@dataclass(frozen=True)
class Point:
    """What is drawn for one name: a marker, or a span where ``low`` and ``high`` differ; both in the axes' units."""

    name: str
    x: float
    low: float
    high: float
    radius: float
    """Of the marker and what names keep off it, in points."""
    size: float
    """Of the name, in points."""
    color: str
    reach: int
    """How many of ``DISTANCES`` are tried; a name that finds no place is left out."""


def label(figure: "Figure", axes: "Axes", points: Sequence[Point]) -> None:
    """Write the names; the first points choose first. The limits of ``axes`` must be set."""
    figure.draw_without_rendering()
    grounds = [_ground(figure, axes, point) for point in points]
    names: list[Bbox] = []
    for point, ground in zip(points, grounds, strict=True):
        others = [each for each in grounds if each is not ground]
        places = [
            (_doubtful(figure, box, ground, others, names, joined), rank, box, joined)
            for rank, (box, joined) in enumerate(_places(figure, axes, point, ground))
            if _inside(box, axes.bbox) and not box.count_overlaps([*grounds, *names])
        ]
        if places:
            _, _, box, joined = min(places, key=lambda place: place[:2])
            names.append(box)
            _write(figure, axes, point, box, joined)


def _ground(figure: "Figure", axes: "Axes", point: Point) -> "Bbox":
    """What the marker or the span covers, in pixels."""
    from matplotlib.transforms import Bbox

    (x, low), (_, high) = axes.transData.transform([(point.x, point.low), (point.x, point.high)])
    radius = _pixels(figure, point.radius)
    return Bbox.from_extents(x - radius, low - radius, x + radius, high + radius)


def _pixels(figure: "Figure", points: float) -> float:
    pixels: float = points * figure.dpi / 72
    return pixels


def _places(figure: "Figure", axes: "Axes", point: Point, ground: "Bbox") -> "Iterator[tuple[Bbox, bool]]":
    """The boxes (pixels) that the name may fill, the best first, and whether a line must join it to the point."""
    from matplotlib.transforms import Bbox

    probe = axes.text(0, 0, point.name, size=point.size)
    width, height = SLACK * probe.get_window_extent().size
    probe.remove()
    middle_x, middle_y = _middle(ground)
    for distance, (right, up) in product(DISTANCES[: point.reach], SIDES):
        gap = _pixels(figure, distance)
        left = middle_x + right * (ground.width / 2 + gap + width / 2) - width / 2
        bottom = middle_y + up * (ground.height / 2 + gap + height / 2) - height / 2
        yield Bbox.from_bounds(left, bottom, width, height), distance > DISTANCES[0]


def _inside(box: "Bbox", frame: "Bbox") -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)


def _doubtful(
    figure: "Figure", box: "Bbox", ground: "Bbox", others: "Sequence[Bbox]", names: "Sequence[Bbox]", joined: bool
) -> bool:
    """Whether a name could be taken for another point's: one is as near, or lies between, or another name does."""
    from matplotlib.path import Path

    line = Path([_middle(box), _middle(ground)])
    near = box.padded(_pixels(figure, DISTANCES[0])).count_overlaps(others) > 0
    return near or (joined and any(line.intersects_bbox(each) for each in [*others, *names]))


def _middle(box: "Bbox") -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _write(figure: "Figure", axes: "Axes", point: Point, box: "Bbox", joined: bool) -> None:
    """Put the name into its box; where ``joined``, a line leads from it to the point."""
    from matplotlib.patheffects import withStroke

    line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": point.radius}
    end = (point.x, (point.low + point.high) / 2)
    (x, y), (middle_x, middle_y) = axes.transData.transform(end), _middle(box)
    text = axes.annotate(
        point.name,
        end,
        xytext=((middle_x - x) * 72 / figure.dpi, (middle_y - y) * 72 / figure.dpi),
        textcoords="offset points",
        ha="center",
        va="center",
        size=point.size,
        color=point.color,
        arrowprops=line if joined else None,
    )
    text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])  # an interval may run below it
    text.set_in_layout(False)  # the layout is settled: the places were found in it
