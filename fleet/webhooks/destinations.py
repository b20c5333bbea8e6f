"""Where a webhook may lead: to the public internet by https, and elsewhere only as far as the operator's settings say.

Whoever may make webhooks must not thereby reach what the server reaches: the database beside it, the cloud's metadata service, a router.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import IPPROTO_TCP, SOCK_STREAM, getaddrinfo
from urllib.parse import urlsplit

from django.conf import settings

from access.addresses import Network, networks, plain
from fleet.errors import WebhookAddress

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

PORTS = {"https": 443, "http": 80}
# IANA gives out addresses of this range alone; what is not in it (IPv4-compatible, NAT64, site-local, …) leads elsewhere.
_GLOBAL_UNICAST = ip_network("2000::/3")
# What `ipaddress` of some Python version takes for global: IETF's own (Oracle's metadata service lies there), 6to4 relays; and Azure's host
# services, which have a public number and are each machine's own.
_NOT_PUBLIC = networks(("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16"))


@dataclass(frozen=True, slots=True)
class Destination:
    """An address of a webhook, taken apart."""

    scheme: str
    host: str
    port: int
    target: str


def origin_of(url: str) -> str:
    """What may be recorded, logged and shown in a list of a webhook's address: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def destination_of(url: str) -> Destination:
    """The parts of a webhook's address, if it is one that may be tried at all.

    Raises:
        WebhookAddress: it is no https address (or http, where settings allow that), has a user name or a fragment, or is a number
            that is not allowed.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookAddress("write the address in ASCII, a name with other letters as xn--…, other characters as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebhookAddress(f"the address cannot be read: {error}") from error
    allowed = ("https", "http") if settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP else ("https",)
    if parts.scheme not in allowed or not parts.hostname:
        raise WebhookAddress(
            f"expected an address that begins with {' or '.join(f'{scheme}://' for scheme in allowed)}"
        )
    if parts.username is not None or parts.password is not None or parts.fragment or port == 0:
        raise WebhookAddress("leave out user name, password, fragment and port 0")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    destination = Destination(parts.scheme, parts.hostname, port or PORTS[parts.scheme], target)
    _refuse_number(destination.host)
    return destination


def _refuse_number(host: str) -> None:
    """Say at once what would fail at each delivery; a name is looked up only then, and may lead elsewhere by that time."""
    try:
        address = ip_address(host)
    except ValueError:
        return
    require_allowed([str(address)])


def resolved(host: str, port: int) -> list[str]:
    """Every address of a name, in the order in which they are to be tried.

    Raises:
        OSError: there is none.
    """
    found = getaddrinfo(host, port, type=SOCK_STREAM, proto=IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def require_allowed(addresses: Sequence[str]) -> None:
    """Let pass only addresses that a delivery may go to.

    Raises:
        WebhookAddress: one of them is not; a name that also leads inside is not used at all.
    """
    inside = networks(tuple(settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS))
    refused = [text for text in addresses if not _is_allowed(ip_address(text), inside)]
    if refused:
        raise WebhookAddress(
            f"{', '.join(refused)} is not of the public internet; an operator may allow its network with SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS"
        )


def _is_allowed(address: Address, inside: Sequence[Network]) -> bool:
    address = plain(address)
    return is_public(address) or any(address in network for network in inside)


def is_public(address: Address) -> bool:
    """Whether it is of the public internet, and no tunnel to somewhere else."""
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST and address.sixtofour is None and address.teredo is None
    return True
