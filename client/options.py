"""Values of options that have a small syntax of their own: `key=value,key=value`."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

TOLERANCES = ("atol", "rtol", "min_agreement")
# The short names of an evaluation's fields on the command line, and what the server calls them.
EVALUATION_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "n": ("sample_count", int),
    "dataset": ("dataset_sha256", str),
    "low": ("ci_low", float),
    "high": ("ci_high", float),
    "by": ("measured_by", str),
}

# What a device must not exceed after the switch; how it is signed, and how many of that are in one of what people write.
HEALTH_LIMITS = {"p50_latency_ms": ("p50_latency_ns", 1_000_000), "peak_memory_mib": ("peak_memory_bytes", 2**20)}

# What is good when it is high; the bound that stands after such a quantity is `at_least`.
LIMITED_FROM_BELOW = ("fps", "quality")
LIMIT_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "at_least": ("at_least", float),
    "at_most": ("at_most", float),
    "wanted": ("wanted", float),
    "metric": ("metric", str),
    "dataset": ("dataset_sha256", str),
}


def evaluation(text: str) -> dict[str, Any]:
    """`accuracy=0.982,n=1500,dataset=<sha256>[,low=..,high=..][,by=..]`: the first pair is the metric and its value.

    Raises:
        argparse.ArgumentTypeError: something is missing, unknown or no number.
    """
    (metric, value), *rest = _pairs(text)
    row: dict[str, Any] = {"metric": metric, "value": _number(float, metric, value)}
    for key, said in rest:
        if key not in EVALUATION_FIELDS:
            raise argparse.ArgumentTypeError(f"unknown field {key!r}; known: {', '.join(EVALUATION_FIELDS)}")
        name, convert = EVALUATION_FIELDS[key]
        row[name] = _number(convert, key, said)
    for key in ("n", "dataset"):
        if EVALUATION_FIELDS[key][0] not in row:
            raise argparse.ArgumentTypeError(f"{key}=... is missing: an evaluation says on how many samples of what")
    return row


def tolerances(text: str) -> dict[str, float]:
    """`atol=0.001,rtol=0.001,min_agreement=0.99`, any of them.

    Raises:
        argparse.ArgumentTypeError: an unknown name or no number.
    """
    found = {}
    for key, value in _pairs(text):
        if key not in TOLERANCES:
            raise argparse.ArgumentTypeError(f"unknown tolerance {key!r}; known: {', '.join(TOLERANCES)}")
        found[key] = _number(float, key, value)
    return found


def health_limit(text: str) -> tuple[str, int]:
    """`p50_latency_ms=12.5` or `peak_memory_mib=64`, as the name and the whole number that are signed: nanoseconds, bytes.

    Raises:
        argparse.ArgumentTypeError: an unknown name, or no number above 0.
    """
    key, value = attribute(text)
    if key not in HEALTH_LIMITS:
        raise argparse.ArgumentTypeError(f"unknown limit {key!r}; known: {', '.join(HEALTH_LIMITS)}")
    name, unit = HEALTH_LIMITS[key]
    try:
        count = int(Decimal(value) * unit)
    except (ArithmeticError, ValueError):
        count = 0
    if count <= 0:
        raise argparse.ArgumentTypeError(f"{key} must be a number above 0, got {value!r}")
    return name, count


def limit(text: str) -> tuple[str, dict[str, Any]]:
    """`fps=15,wanted=30`: a quantity, the bound that is usual for it, and what goes with it; else `quality,at_most=0.2,metric=top5-error`.

    Raises:
        argparse.ArgumentTypeError: something is unknown or no number.
    """
    head, *rest = text.split(",")
    quantity, equals, bound = (part.strip() for part in head.partition("="))
    row: dict[str, Any] = {}
    if equals:
        row["at_least" if quantity in LIMITED_FROM_BELOW else "at_most"] = _number(float, quantity, bound)
    for part in rest:
        key, value = attribute(part.strip())
        if key not in LIMIT_FIELDS:
            raise argparse.ArgumentTypeError(f"unknown field {key!r}; known: {', '.join(LIMIT_FIELDS)}")
        name, convert = LIMIT_FIELDS[key]
        row[name] = _number(convert, key, value)
    return quantity, row


def end_in_hours(text: str) -> datetime:
    """The moment that many hours from now; more than 0.

    Raises:
        argparse.ArgumentTypeError: it is no such number.
    """
    return _end(text, timedelta(hours=1))


def end_in_days(text: str) -> datetime:
    """The moment that many days from now; more than 0.

    Raises:
        argparse.ArgumentTypeError: it is no such number.
    """
    return _end(text, timedelta(days=1))


def _end(text: str, unit: timedelta) -> datetime:
    now = datetime.now(UTC)
    try:
        end = now + float(text) * unit
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from error
    if end <= now:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}: it would have ended already")
    return end


def attribute(text: str) -> tuple[str, str]:
    """`key=value`.

    Raises:
        argparse.ArgumentTypeError: there is no `=`, or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def _pairs(text: str) -> list[tuple[str, str]]:
    return [attribute(part.strip()) for part in text.split(",")]


def _number(convert: Callable[[str], Any], key: str, value: str) -> Any:
    try:
        return convert(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{key} must be a number, got {value!r}") from None
