"""From where a request comes: the address of the client, and the number by which log lines and audit records name the request.

Behind a proxy every connection comes from the proxy. What `X-Forwarded-For` says is believed only as far as proxies of
`SMALLFLEET_TRUSTED_PROXIES` wrote it: anybody may send the header.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the work in hand was asked for.

    Attributes:
        address: of the client, as text; empty where no request asks (a worker, a command) or the server listens on a Unix socket.
        request_id: of the request; empty where none asks.
    """

    address: str
    request_id: str


NO_REQUEST = Origin("", "")
_origin: ContextVar[Origin] = ContextVar("origin", default=NO_REQUEST)


def current_origin() -> Origin:
    """Where the work in hand was asked for; services get no request, and ask here for the audit record."""
    return _origin.get()


@contextmanager
def work_from(origin: Origin) -> Iterator[None]:
    """Do what stands inside as asked for from there."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def origin_of(request: HttpRequest) -> Origin:
    """Where the request comes from. A trusted proxy may have numbered it; else it gets a number here."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    known = _is_trusted(_parsed(request.META.get("REMOTE_ADDR", ""))) and _REQUEST_ID.fullmatch(given)
    return Origin(client_address(request), given if known else uuid4().hex)


def client_address(request: HttpRequest) -> str:
    """The address of the client as text, IPv4 in its own form; empty where the connection has none.

    From the right, the first address of `X-Forwarded-For` that is no trusted proxy; what stands left of it is hearsay. If that entry is no
    address, the trusted proxy that wrote it stands for the client.
    """
    address = _parsed(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while _is_trusted(address) and hops:
        before = _parsed(hops.pop().strip())
        if before is None:
            break
        address = before
    return str(address) if address is not None else ""


def comes_from_trusted_proxy(request: HttpRequest) -> bool:
    """Whether the connection is a trusted proxy's, so that headers of its own may be believed."""
    return _is_trusted(_parsed(request.META.get("REMOTE_ADDR", "")))


@lru_cache(maxsize=8)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Networks such as `10.0.0.0/8`, or single addresses.

    Raises:
        ValueError: one is neither.
    """
    return tuple(ip_network(text) for text in texts)


def plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) in its own form."""
    return getattr(address, "ipv4_mapped", None) or address


def _parsed(text: str) -> Address | None:
    try:
        return plain(ip_address(text.partition("%")[0]))  # the zone behind it is any text, and of this machine alone
    except ValueError:
        return None


def _is_trusted(address: Address | None) -> bool:
    if address is None:
        return False
    return any(address in network for network in networks(tuple(settings.SMALLFLEET_TRUSTED_PROXIES)))
