"""System checks of the fleet's settings; each has an id and says what to do."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name

MIN_POLL_AFTER_S = 1
MAX_POLL_AFTER_S = 24 * 3600


@register("smallfleet")
def check_fleet_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Numbers that would make every poll or every forecast wrong."""
    return [*_check_poll_interval(), *_check_price()]


def _check_poll_interval() -> list[CheckMessage]:
    poll_after_s = settings.SMALLFLEET_POLL_AFTER_S
    if MIN_POLL_AFTER_S <= poll_after_s <= MAX_POLL_AFTER_S:
        return []
    return [
        Error(
            f"SMALLFLEET_POLL_AFTER_S is {poll_after_s}",
            hint=f"Choose {MIN_POLL_AFTER_S} to {MAX_POLL_AFTER_S} seconds; agents cap it at a day.",
            id="smallfleet.fleet.E001",
        )
    ]


def _check_price() -> list[CheckMessage]:
    given = settings.SMALLFLEET_DEFAULT_PRICE_PER_MB
    try:
        price = Decimal(given)
    except InvalidOperation:
        price = Decimal("NaN")
    if price.is_finite() and price >= 0:
        return []
    return [
        Error(
            f"SMALLFLEET_DEFAULT_PRICE_PER_MB is {given!r}",
            hint="Give what 10^6 bytes cost a device without a link class, as a number such as 0.05.",
            id="smallfleet.fleet.E002",
        )
    ]


@register(Tags.security, deploy=True)
def check_transport(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Credentials of devices travel in each request."""
    if settings.SMALLFLEET_BEHIND_TLS:
        return []
    return [
        Warning(
            "SMALLFLEET_BEHIND_TLS is not set",
            hint="Put a proxy with TLS in front and set it to 1; without TLS whoever listens can speak as any device.",
            id="smallfleet.fleet.W001",
        )
    ]
