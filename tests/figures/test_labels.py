from typing import Any

from refuseu.figures.canvas import figure_of, paper_style
from refuseu.figures.labels import Point, label


def point(name: str, x: float, reach: int = 7) -> Point:
    return Point(name, x, 50.0, 50.0, radius=4.0, size=7.5, color="black", reach=reach)


def labelled(*points: Point) -> Any:
    with paper_style():
        figure, axes = figure_of(4.0, 3.0)
        axes.set(xlim=(0, 100), ylim=(0, 100))
        label(figure, axes, points)
        figure.draw_without_rendering()
    return axes


def box(axes: Any, name: str) -> Any:
    from matplotlib.text import Text

    return next(Text.get_window_extent(text) for text in axes.texts if text.get_text() == name)


def test_a_name_stands_right_of_its_point_and_left_where_the_axes_end() -> None:
    axes = labelled(point("free", 50.0), point("last", 100.0))
    assert box(axes, "free").x0 > axes.transData.transform((50, 50))[0]
    assert box(axes, "last").x1 < axes.transData.transform((100, 50))[0]


def test_a_name_does_not_stand_as_near_to_another_point_as_to_its_own() -> None:
    axes = labelled(point("first", 30.0))
    clear_by_two_points = box(axes, "first").x1 + (4.0 + 2.0) * axes.figure.dpi / 72
    other, _ = axes.transData.inverted().transform((clear_by_two_points, 0))
    crowded = labelled(point("first", 30.0), point("other", float(other)))
    assert box(crowded, "first").x1 < crowded.transData.transform((30, 50))[0]


def test_a_name_that_finds_no_place_within_its_reach_is_left_out() -> None:
    crowd = [point(f"point {index}", 50.0, reach=1) for index in range(20)]
    names = [text.get_text() for text in labelled(*crowd).texts]
    assert names[0] == "point 0" and len(names) < 20
    assert all(text.arrow_patch is None for text in labelled(*crowd).texts)
