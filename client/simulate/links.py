"""Links as arithmetic: what an exchange takes, what it puts on the link, and which share of a fleet has which link. Pure.

The model is that of one device alone in its cell: a rate each way, a round trip for each request, two more for a connection
(TCP, then TLS 1.3), packet headers by the MTU. TCP's slow start, its repeated packets and other devices' traffic are in the
rates of the profile or nowhere.
"""

import dataclasses
import math
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import WrongConfiguration
from agent.toml_table import Table
from client.errors import ConfigError, LocalFileError

# IPv4 20, TCP 20, time stamps 12: RFC 791, 9293, 7323.
PACKET_HEADER_BYTES = 52
# A receiver acknowledges every second packet: RFC 9293 section 3.8.6.3.
PACKETS_PER_ACK = 2
CONNECT_ROUND_TRIPS = 2
FASTEST_BYTES_PER_S = 10**10
LONGEST_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One kind of link; the fields are explained at the head of `links.toml`."""

    name: str
    down_bytes_per_s: float
    up_bytes_per_s: float
    round_trip_s: float
    mtu_bytes: int
    connect_bytes: int
    price_per_mb: Decimal
    metered: bool
    loss: float
    offline: float
    offline_s: float

    def packets(self, payload_bytes: int) -> int:
        """How many packets carry that much of TCP's payload."""
        return math.ceil(payload_bytes / (self.mtu_bytes - PACKET_HEADER_BYTES))

    def one_way_bytes(self, payload_bytes: int) -> int:
        """Payload with its packets' headers."""
        return payload_bytes + self.packets(payload_bytes) * PACKET_HEADER_BYTES

    def link_bytes(self, *, sent: int, received: int, connects: int = 0) -> int:
        """What an exchange puts on the link: payload, packet headers, acknowledgements, connections. A carrier bills these."""
        acknowledgements = sum(math.ceil(self.packets(payload) / PACKETS_PER_ACK) for payload in (sent, received))
        carried = self.one_way_bytes(sent) + self.one_way_bytes(received) + acknowledgements * PACKET_HEADER_BYTES
        return carried + connects * self.connect_bytes

    def seconds(self, *, sent: int, received: int, connects: int = 0, requests: int = 1) -> float:
        """How long an exchange takes."""
        up_s = self.one_way_bytes(sent) / self.up_bytes_per_s
        down_s = (self.one_way_bytes(received) + connects * self.connect_bytes) / self.down_bytes_per_s
        return up_s + down_s + self.round_trip_s * (requests + CONNECT_ROUND_TRIPS * connects)

    def payload_within(self, seconds: float) -> int:
        """How many bytes of a body come in that time."""
        share = (self.mtu_bytes - PACKET_HEADER_BYTES) / self.mtu_bytes
        return max(0, int(seconds * self.down_bytes_per_s * share))


FIELDS = tuple(field.name for field in dataclasses.fields(LinkProfile) if field.name != "name")


def read_profiles(own: Path | None = None) -> dict[str, LinkProfile]:
    """The built-in profiles, and those of a file of one's own; a table of a known name need only say what differs.

    Raises:
        LocalFileError: the file cannot be read.
        ConfigError: it is no TOML, or a value is missing or wrong.
    """
    tables = tomllib.loads((files("client.simulate") / "links.toml").read_text(encoding="utf-8"))
    if own is not None:
        for name, table in _read(own).items():
            if not isinstance(table, dict):
                raise ConfigError(f"{own}: {name} must be a table, such as [{name}]")
            tables[name] = tables.get(name, {}) | table
    try:
        return {name: _profile(name, table) for name, table in tables.items()}
    except WrongConfiguration as error:
        raise ConfigError(f"{own or 'links.toml'}: {error}") from error


def parse_mix(text: str, profiles: Mapping[str, LinkProfile]) -> dict[LinkProfile, float]:
    """`lte-m=0.6,satellite=0.1,wifi=0.3`: each profile's share of the fleet; `lte-m` alone is all of it.

    Raises:
        ConfigError: an unknown profile, or a share that is none.
    """
    mix: dict[LinkProfile, float] = {}
    for name, share in parse_shares(text, "--links").items():
        if name not in profiles:
            raise ConfigError(f"--links: no profile {name!r}; there are {', '.join(sorted(profiles))}")
        mix[profiles[name]] = share
    return mix


def parse_shares(text: str, option: str) -> dict[str, float]:
    """`a=0.6,b=0.4`, or `a` alone; the shares are made to add up to 1.

    Raises:
        ConfigError: a share is missing, no number or not above 0.
    """
    parts = [part.strip().rpartition("=") for part in text.split(",")]
    shares: dict[str, float] = {}
    for name, equals, value in parts:
        if value and not equals and len(parts) == 1:
            return {value: 1.0}
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if not name or not 0 < share < math.inf or name in shares:
            raise ConfigError(f"{option}: expected NAME=SHARE,NAME=SHARE with shares above 0, got {text!r}")
        shares[name] = share
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


Kind = TypeVar("Kind")


def deal(shares: Mapping[Kind, float], count: int, draw: random.Random) -> list[Kind]:
    """`count` kinds in their shares, each exact to one device (largest remainder), in random order."""
    total = sum(shares.values())
    wanted = {kind: count * share / total for kind, share in shares.items()}
    dealt = {kind: int(many) for kind, many in wanted.items()}
    # Rounded, so that the order does not hang on the last bit of a division.
    by_remainder = sorted(wanted, key=lambda kind: round(wanted[kind] - dealt[kind], 9), reverse=True)
    for kind in by_remainder[: count - sum(dealt.values())]:
        dealt[kind] += 1
    hand = [kind for kind, many in dealt.items() for _ in range(many)]
    draw.shuffle(hand)
    return hand


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalFileError(f"--profiles: {error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--profiles {file}: cannot be read as TOML: {error}") from error


def _profile(name: str, document: Mapping[str, Any]) -> LinkProfile:
    table = Table(f"{name}.", document)
    for field in FIELDS:
        if field not in document:
            raise table.wrong(field, "is missing")
    profile = LinkProfile(
        name=name,
        down_bytes_per_s=table.number("down_bytes_per_s", 0, least=1, most=FASTEST_BYTES_PER_S),
        up_bytes_per_s=table.number("up_bytes_per_s", 0, least=1, most=FASTEST_BYTES_PER_S),
        round_trip_s=table.number("round_trip_s", 0, least=0, most=600),
        mtu_bytes=table.integer("mtu_bytes", 0, least=128, most=65_535),
        connect_bytes=table.integer("connect_bytes", 0, least=0, most=1_000_000),
        price_per_mb=_price(table),
        metered=table.boolean("metered", default=False),
        loss=table.number("loss", 0, least=0, most=0.99),
        offline=table.number("offline", 0, least=0, most=0.99),
        offline_s=table.number("offline_s", 0, least=1, most=LONGEST_S),
    )
    table.finish()
    return profile


def _price(table: Table) -> Decimal:
    text = table.text("price_per_mb", most=20)
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not (price.is_finite() and price >= 0):
        raise table.wrong("price_per_mb", f"must be an amount in quotation marks, is {text!r}")
    return price
