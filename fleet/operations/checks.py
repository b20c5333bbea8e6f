"""System checks of the fleet's settings; each has an id and says what to do."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name

from access.addresses import networks
from access.limits import Rate

MIN_POLL_AFTER_S = 1
MAX_POLL_AFTER_S = 24 * 3600


@register("smallfleet")
def check_fleet_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Numbers that would make every poll or every forecast wrong."""
    return [
        *_check_poll_interval(),
        *_check_price(),
        *_check_networks("SMALLFLEET_TRUSTED_PROXIES", "E003"),
        *_check_networks("SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS", "E004"),
        *_check_rates(),
        *_check_certificate_header(),
    ]


def _check_rates() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for what, text in settings.SMALLFLEET_RATES.items():
        try:
            Rate.parse(text)
        except ValueError as error:
            hint = "So many in a second, minute, hour or day, such as 120/minute; empty is no limit."
            name = f"SMALLFLEET_RATE_{what.upper()}"
            messages.append(Error(f"{name} is {text!r}: {error}", hint=hint, id="smallfleet.fleet.E006"))
    return messages


def _check_certificate_header() -> list[CheckMessage]:
    """A header that nobody is believed to write would shut out every device that is bound to a certificate."""
    if not settings.SMALLFLEET_CLIENT_CERTIFICATE_HEADER or settings.SMALLFLEET_TRUSTED_PROXIES:
        return []
    return [
        Error(
            "SMALLFLEET_CLIENT_CERTIFICATE_HEADER is set, and SMALLFLEET_TRUSTED_PROXIES names no proxy that may write it",
            hint="Name the proxy's address, such as 10.0.3.7, or leave the header out.",
            id="smallfleet.fleet.E007",
        )
    ]


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


def _check_networks(setting: str, number: str) -> list[CheckMessage]:
    given = getattr(settings, setting)
    try:
        networks(tuple(given))
    except ValueError as error:
        return [
            Error(
                f"{setting} is {','.join(given)}: {error}",
                hint="Give networks or addresses, separated by commas, such as 10.0.3.0/24,192.0.2.7.",
                id=f"smallfleet.fleet.{number}",
            )
        ]
    return []


@register(Tags.security)
def check_hosts(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Absolute addresses are made of the Host header, so whoever may choose it chooses where people are sent."""
    wide = [host for host in settings.ALLOWED_HOSTS if host.strip(".") in {"", "*"}]
    if settings.DEBUG or not wide:
        return []
    return [
        Error(
            f"SMALLFLEET_ALLOWED_HOSTS has {wide[0]!r}, which is every host",
            hint="Name the hosts that people and devices use, such as fleet.example.org.",
            id="smallfleet.fleet.E005",
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
