"""The metrics of studies for people: what they are called, and their values in fitting units. Pure."""

from collections.abc import Callable
from typing import Any

from fleet.dashboards import formats

_TITLES = {
    "accuracy": "accuracy",
    "param_count": "parameters",
    "size_bytes": "file",
    "packed_bytes": "first install",
    "delta_bytes": "delta",
    "macs": "MACs",
    "peak_activation_bytes": "activations",
    "latency_p50_ns": "p50 latency",
    "energy_j": "energy",
    "training_s": "training",
}
_TEXTS: dict[str, Callable[[float], str]] = {
    "accuracy": formats.percent_text,
    "param_count": formats.macs_text,
    "macs": formats.macs_text,
    "latency_p50_ns": formats.ms_text,
    "energy_j": formats.joules_text,
    "training_s": formats.duration_text,
}


def title_of(metric: str) -> str:
    """What a metric is called."""
    return _TITLES.get(metric, metric)


def unit_text_of(metric: str) -> Callable[[float], str]:
    """How the metric's numbers are written."""
    return _TEXTS.get(metric, formats.bytes_text if metric.endswith("_bytes") else "{:.4g}".format)


def text_of(metric: str, value: Any) -> str:
    """A value with its unit; absent is a dash."""
    return formats.ABSENT if value is None else unit_text_of(metric)(value)
