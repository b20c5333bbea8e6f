"""p50 latency of variants on device classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.dashboards import formats
from fleet.dashboards.charts.style import Figure, as_text, colour, layout


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """p50 latency of one variant on one device class: the median of the devices, and their quartiles."""

    label: str
    device_class: str
    median_ns: float
    q1_ns: float
    q3_ns: float
    devices: int

    @property
    def words(self) -> str:
        """What is said of it when it is pointed at."""
        where = self.device_class or "no class"
        return (
            f"{as_text(self.label)} on {as_text(where)}<br>median device {formats.ms_text(self.median_ns)}, "
            f"half of them {formats.ms_text(self.q1_ns)} to {formats.ms_text(self.q3_ns)}<br>{self.devices} devices"
        )


def latency_chart(points: Sequence[LatencyPoint]) -> Figure:
    """One row per variant, in it one mark per device class with the quartiles over the devices as its bar."""
    classes = sorted({point.device_class for point in points})
    labels = list(dict.fromkeys(as_text(point.label) for point in points))
    traces = [
        _class_trace(name, number, [point for point in points if point.device_class == name])
        for number, name in enumerate(classes)
    ]
    # The first variant on top, and the classes of one beside each other instead of upon each other.
    rows = {"type": "category", "categoryorder": "array", "categoryarray": labels[::-1]}
    figure = layout({"title": {"text": "p50 latency, ms"}, "rangemode": "tozero"}, rows)
    figure["scattermode"] = "group"
    figure["height"] = 150 + 24 * len(labels) * len(classes)
    return {"data": traces, "layout": figure}


def _class_trace(name: str, number: int, points: Sequence[LatencyPoint]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "orientation": "h",
        "name": as_text(name or "no class"),
        "x": [point.median_ns / 1e6 for point in points],
        "y": [as_text(point.label) for point in points],
        "hovertext": [point.words for point in points],
        "hoverinfo": "text",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(point.q3_ns - point.median_ns) / 1e6 for point in points],
            "arrayminus": [(point.median_ns - point.q1_ns) / 1e6 for point in points],
            "color": colour(number),
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {"color": colour(number), "size": 11},
    }
