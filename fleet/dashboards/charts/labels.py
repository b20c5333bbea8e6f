"""Where the label of each mark stands, so that labels cover neither each other nor other marks.

Worked out for a chart as narrow as a phone's: what does not overlap there does not overlap on a wide screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PLOT_WIDTH_PX, PLOT_HEIGHT_PX = 290.0, 270.0
CHARACTER_PX, LINE_PX = 6.6, 14.0
# In the order in which they are tried. Never level with the mark: there the Pareto front may pass.
POSITIONS = ("top right", "bottom right", "top left", "bottom left")


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark with its label.

    Attributes:
        x, y: 0 to 1 of the plot, from its left and its lower edge.
        size: diameter in px.
        matters_most: the mark that the reader looks for, where most of the fleet is.
    """

    x: float
    y: float
    size: float
    label: str
    matters_most: bool = False


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def is_inside(self) -> bool:
        # Labels may stand in the margin above and below, not beside: there the page ends.
        return self.left >= 0 and self.right <= PLOT_WIDTH_PX


def place_labels(marks: Sequence[Mark]) -> list[str | None]:
    """Plotly's `textposition` for each mark; None where its label has no room and has to be left to the pointer and the table.

    What matters most is placed first, and rather over the edge of another mark than not at all.
    """
    boxes = [_mark_box(mark) for mark in marks]
    labels: list[_Box] = []
    places: dict[int, str | None] = {}
    for number in sorted(range(len(marks)), key=lambda number: not marks[number].matters_most):
        obstacles = [*boxes[:number], *boxes[number + 1 :], *labels]
        found = _first_room(marks[number], obstacles)
        if found is None and marks[number].matters_most:
            found = _first_room(marks[number], labels)
        places[number] = found[0] if found else None
        if found:
            labels.append(found[1])
    return [places[number] for number in range(len(marks))]


def _first_room(mark: Mark, obstacles: Sequence[_Box]) -> tuple[str, _Box] | None:
    for position in POSITIONS:
        box = _label_box(mark, position)
        if box.is_inside() and not any(box.overlaps(other) for other in obstacles):
            return position, box
    return None


def _mark_box(mark: Mark) -> _Box:
    x, y, radius = mark.x * PLOT_WIDTH_PX, (1 - mark.y) * PLOT_HEIGHT_PX, mark.size / 2
    return _Box(x - radius, y - radius, x + radius, y + radius)


def _label_box(mark: Mark, position: str) -> _Box:
    """As plotly.js places it: one mark's radius away on both axes."""
    x, y, away = mark.x * PLOT_WIDTH_PX, (1 - mark.y) * PLOT_HEIGHT_PX, mark.size / 2
    width = CHARACTER_PX * len(mark.label)
    left = x + away if position.endswith("right") else x - away - width
    top = y - away - LINE_PX if position.startswith("top") else y + away
    return _Box(left, top, left + width, top + LINE_PX)
