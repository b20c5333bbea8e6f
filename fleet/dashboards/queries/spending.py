"""Bytes and money over a time, as the agents counted them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum

from access.actors import Actor
from fleet.devices.holdings import default_price
from fleet.ledger.forecast import BYTES_PER_MB
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.visibility import ledger_condition


@dataclass(frozen=True, slots=True)
class WaySpending:
    """What went over one way. `server_bytes` is None where others than this server carried all of it."""

    way: str
    agent_bytes: int
    server_bytes: int | None
    money: Decimal


@dataclass(frozen=True, slots=True)
class Spending:
    """What went over the wire, the most expensive way first."""

    by_way: list[WaySpending]

    @property
    def agent_bytes(self) -> int:
        """Over all ways."""
        return sum(way.agent_bytes for way in self.by_way)

    @property
    def server_bytes(self) -> int | None:
        """Over all ways that this server carried."""
        carried = [way.server_bytes for way in self.by_way if way.server_bytes is not None]
        return sum(carried) if carried else None

    @property
    def money(self) -> Decimal:
        """Over all ways."""
        return sum((way.money for way in self.by_way), Decimal(0))


def spending_since(moment: datetime, *, actor: Actor) -> Spending:
    """Of the ledger's entries made since then that the actor may see."""
    return spending_of(LedgerEntry.objects.filter(ledger_condition(actor), created_at__gte=moment))


def spending_of(entries: QuerySet[LedgerEntry]) -> Spending:
    """Bytes by way, priced by the link class that each device has today. One query."""
    rows = entries.order_by().values_list("way", "device__link_class__price_per_mb")
    agent: defaultdict[str, int] = defaultdict(int)
    money: defaultdict[str, Decimal] = defaultdict(Decimal)
    server: dict[str, int | None] = {}
    for way, price, counted, sent in rows.annotate(Sum("agent_bytes"), Sum("server_bytes")):
        agent[way] += counted
        money[way] += (default_price() if price is None else price) * counted / BYTES_PER_MB
        server[way] = server.get(way) if sent is None else sent + (server.get(way) or 0)
    ways = [WaySpending(way or "not said yet", agent[way], server[way], money[way]) for way in agent]
    return Spending(sorted(ways, key=lambda way: -way.agent_bytes))
