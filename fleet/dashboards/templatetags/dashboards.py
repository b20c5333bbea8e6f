"""`fleet.dashboards.formats` as template filters, and the two small pictures that templates draw themselves.

Widths are SVG attributes, not styles, so that a strict Content-Security-Policy holds.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from fleet.dashboards import formats

register = template.Library()

register.filter("bytes", formats.bytes_text)
register.filter("ms", formats.ms_text)
register.filter("percent", formats.percent_text)
register.filter("joules", formats.joules_text)
register.filter("macs", formats.macs_text)
register.filter("count", formats.count_text)
register.filter("metric", formats.metric_text)
register.filter("digest", formats.digest_text)


@register.filter
def money(amount: Decimal | None) -> str:
    """An amount in the installation's currency."""
    return formats.money_text(amount, settings.SMALLFLEET_CURRENCY)


@register.filter
def since(moment: datetime | None) -> SafeString:
    """How long ago, with the moment itself in the title; `never` where there is none."""
    if moment is None:
        return format_html('<span class="{}">never</span>', "absent")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        formats.absolute_text(moment),
        formats.relative_text(moment, timezone.now()),
    )


@register.filter
def exactly(moment: datetime | None) -> str:
    """The moment in UTC."""
    return formats.ABSENT if moment is None else formats.absolute_text(moment)


@register.filter
def duration(seconds: float | None) -> str:
    """A duration in its one fitting unit."""
    return formats.ABSENT if seconds is None else formats.duration_text(seconds)


@register.filter
def share_of(part: int | None, whole: int) -> str:
    """How much of the whole a part is."""
    return formats.ABSENT if part is None or not whole else formats.percent_text(part / whole)


@register.filter
def fact(value: Any, name: str) -> str:
    """A value of an event's detail, by its name: bytes as bytes, digests short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and "bytes" in name:
        return formats.bytes_text(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str) and len(value) == 64:
        return formats.digest_text(value)
    return formats.ABSENT if value is None else str(value)


@register.simple_tag
def shares(label: str, parts: Sequence[tuple[str, str, int]]) -> SafeString:
    """A bar of parts, each `(css class, name, count)`, drawn to scale and named for who cannot see it."""
    total = sum(count for _, _, count in parts)
    rects, x = [], 0.0
    for css, name, count in parts:
        width = 100 * count / total if total else 0
        if width:
            rects.append((css, f"{x:.3f}", f"{width:.3f}", f"{name}: {formats.count_text(count)}"))
        x += width
    words = ", ".join(f"{formats.count_text(count)} {name}" for _, name, count in parts if count) or "none"
    drawn = format_html_join("", '<rect class="{}" x="{}" y="0" width="{}" height="4"><title>{}</title></rect>', rects)
    return format_html(
        '<svg class="shares" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{}: {}">{}</svg>',
        label,
        words,
        drawn,
    )


@register.simple_tag(takes_context=True)
def with_query(context: template.Context, **changes: Any) -> str:
    """The current page's query string with some parameters changed; None or empty removes one."""
    parameters = context["request"].GET.dict() | changes
    return "?" + urlencode({name: value for name, value in parameters.items() if value not in {None, ""}})
