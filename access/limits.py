"""How often somebody may ask: token buckets in Django's cache, which is no database.

A bucket holds at most `burst` tokens, and one comes back every `period_s / burst` seconds. It is kept as one number, the moment at which it will
be full again: the generic cell rate algorithm (ITU-T I.371, annex A), which decides as a token bucket does. A number is what a cache can hold
without pickling.

With the cache of the process (the default) each web process counts for itself; with Redis all of them count together. Requests of one asker at
the very same moment may exceed the burst by their number: a limit keeps a server from being flooded, it guards no secret.
"""

import re
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast

from django.core.cache import cache

_PERIODS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,6})/(second|minute|hour|day)")
_MICROSECONDS = 1_000_000
# An IPv6 client has a whole network of this length to take addresses from.
_IPV6_NETWORK = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period, all at once or spread over it."""

    burst: int
    period_s: float

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """A rate from `120/minute`; None, which is no limit, from an empty text.

        Raises:
            ValueError: it is neither.
        """
        if not text:
            return None
        matched = _RATE.fullmatch(text)
        if matched is None:
            raise ValueError(
                f"a rate is written like 120/minute (second, minute, hour, day), or is empty; not {text!r}"
            )
        return cls(int(matched[1]), _PERIODS_S[matched[2]])

    def admit(self, full_at_us: int, now_us: int) -> tuple[int, float]:
        """Decide one request on the bucket that is full again at `full_at_us`: when it will be full after it, and 0, or the seconds to wait."""
        token_us = round(self.period_s * _MICROSECONDS / self.burst)
        after_us = max(full_at_us, now_us) + token_us
        missing_us = after_us - now_us - token_us * self.burst
        return (full_at_us, missing_us / _MICROSECONDS) if missing_us > 0 else (after_us, 0.0)


def take(rate: Rate, *key: str) -> float:
    """Take one token of the bucket with this key; 0, or the seconds after which to ask again."""
    name = "limit:" + ":".join(key)
    now_us = time.time_ns() // 1000
    full_at_us, wait_s = rate.admit(cast(int, cache.get(name, 0)), now_us)
    if wait_s == 0:
        cache.set(name, full_at_us, timeout=rate.period_s + 1)
    return wait_s


def network_of(address: str) -> str:
    """What counts as one asker: an IPv4 address, the /64 of an IPv6 one, and together all that have none."""
    try:
        parsed: Any = ip_address(address)
    except ValueError:
        return "none"
    return str(ip_network((parsed, _IPV6_NETWORK), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
