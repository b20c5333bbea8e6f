"""Numbers for people: bytes, money, time, shares. Absent is a dash, never 0. Pure; charts and template filters share it."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from registry.metrics import is_share

ABSENT = "\u2013"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SPACE = "\u00a0"  # between a number and its unit, which stay together at the end of a line
_THOUSANDS = "\u202f"  # narrow, no-break


def bytes_text(count: float | None) -> str:
    """Bytes in powers of 1000 (MB is 10^6): `512 B`, `34.1 kB`, `1.2 MB`."""
    if count is None:
        return ABSENT
    scaled, unit = float(count), 0
    # 999 950 B would print as 1000.0 kB: compare what will be printed.
    while round(scaled, 1) >= 1000 and unit < len(_BYTE_UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{scaled:.{min(unit, 1)}f}{_SPACE}{_BYTE_UNITS[unit]}"


def amount_text(amount: Decimal | float) -> str:
    """An amount of money: to the cent, and below a tenth to two significant digits."""
    value = Decimal(amount)
    if 0 < value < Decimal("0.0001"):
        return "< 0.0001"
    decimals = 2 if value == 0 or value >= Decimal("0.1") else 3 if value >= Decimal("0.01") else 4
    return f"{value:,.{decimals}f}".replace(",", _THOUSANDS)


def money_text(amount: Decimal | float | None, currency: str) -> str:
    """An amount with its currency."""
    return ABSENT if amount is None else f"{amount_text(amount)}{_SPACE}{currency}"


def tick_text(text: str) -> str:
    """A number beside a tick of an axis, without decimals that say nothing: `500 kB` for `500.0 kB`."""
    return re.sub(r"\.0+(?=\D|$)", "", text)


def ms_text(nanoseconds: float | None) -> str:
    """Nanoseconds as milliseconds with three significant digits."""
    if nanoseconds is None:
        return ABSENT
    ms = nanoseconds / 1e6
    decimals = 0 if ms >= 100 else 1 if ms >= 10 else 2 if ms >= 1 else 3
    return f"{ms:.{decimals}f}{_SPACE}ms"


def joules_text(joules: float | None) -> str:
    """Joules in their fitting unit with three significant digits: `2.41 mJ`."""
    if joules is None:
        return ABSENT
    scaled, unit = (joules, "J") if joules >= 1 else (joules * 1e3, "mJ") if joules >= 1e-3 else (joules * 1e6, "µJ")
    return f"{_three_digits(scaled)}{_SPACE}{unit}"


def macs_text(macs: float | None) -> str:
    """Multiply-accumulates of one inference: `349 M`."""
    if macs is None:
        return ABSENT
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= 0.9995 * size:
            return f"{_three_digits(macs / size)}{_SPACE}{unit}"
    return f"{macs:.0f}"


def _three_digits(number: float) -> str:
    return f"{number:.{0 if number >= 99.95 else 1 if number >= 9.995 else 2}f}"


def percent_text(share: float | None) -> str:
    """A share of 1 as percent."""
    return ABSENT if share is None else f"{share * 100:.1f}{_SPACE}%"


def count_text(count: int | None) -> str:
    """A whole number with its thousands grouped."""
    return ABSENT if count is None else f"{count:,}".replace(",", _THOUSANDS)


def duration_text(seconds: float) -> str:
    """A duration in its one fitting unit: `45 s`, `15 min`, `3 h`, `12 d`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds // 3600:.0f} h"
    return f"{seconds // 86_400:.0f} d"


def relative_text(moment: datetime, now: datetime) -> str:
    """How long ago, or in how long; within five seconds it is now."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    return f"{duration_text(seconds)} ago" if seconds > 0 else f"in {duration_text(-seconds)}"


def absolute_text(moment: datetime) -> str:
    """The moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def higher_is_better(metric: str) -> bool:
    """The direction of a metric, by its name: errors, losses and rates of error fall, all else rises."""
    return not metric.endswith(("error", "loss", "wer", "cer", "eer", "mae", "mse", "perplexity"))


def metric_text(value: float | None, metric: str) -> str:
    """A metric's value: percent where it is a share, else four significant digits."""
    if value is None:
        return ABSENT
    return percent_text(value) if is_share(metric) else f"{value:.4g}"


def digest_text(sha256: str) -> str:
    """A digest short enough for a table."""
    return f"{sha256[:12]}…" if sha256 else ABSENT
