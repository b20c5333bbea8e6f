"""Rate limits of routes. A view names what it is asked for; `settings.SMALLFLEET_RATES` says how often that may be.

A refusal is a 429 problem with `Retry-After`.
"""

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from access.actors import Principal
from access.addresses import client_address
from access.errors import TooManyRequests
from access.limits import Rate, network_of, take

if TYPE_CHECKING:  # DRF loads this module while it builds its own views
    from rest_framework.views import APIView

_rate = cache(Rate.parse)


def check_rate(what: str, asker: str) -> None:
    """Count one request for `what`.

    Raises:
        TooManyRequests: that was one too many.
    """
    rate = _rate(settings.SMALLFLEET_RATES[what])
    if rate is None:
        return
    wait_s = take(rate, what, asker)
    if wait_s > 0:
        seconds = int(wait_s) + 1
        raise TooManyRequests(
            f"at most {settings.SMALLFLEET_RATES[what]}; ask again in {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


def by_device(what: str) -> type[BaseThrottle]:
    """A limit for each device; people are not counted."""

    class LimitedByDevice(BaseThrottle):
        def allow_request(self, request: Request, view: "APIView") -> bool:
            if isinstance(request.user, Principal):
                check_rate(what, request.user.as_actor().id)
            return True

    return LimitedByDevice


def by_address(what: str) -> type[BaseThrottle]:
    """A limit for each client address."""

    class LimitedByAddress(BaseThrottle):
        def allow_request(self, request: Request, view: "APIView") -> bool:
            check_rate(what, network_of(client_address(request)))
            return True

    return LimitedByAddress
