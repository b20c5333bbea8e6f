"""Bytes and money over a time, as the agents counted them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import QuerySet, Sum

from fleet.ledger.models import LedgerEntry

MB = 10**6


@dataclass(frozen=True, slots=True)
class WaySpending:
    """What went over one way."""

    way: str
    agent_bytes: int
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
    def money(self) -> Decimal:
        """Over all ways."""
        return sum((way.money for way in self.by_way), Decimal(0))


def spending_since(moment: datetime) -> Spending:
    """Of the ledger's entries made since then."""
    return spending_of(LedgerEntry.objects.filter(created_at__gte=moment))


def spending_of(entries: QuerySet[LedgerEntry]) -> Spending:
    """Bytes by way, priced by the link class that each device has today. One query."""
    default_price = Decimal(settings.SMALLFLEET_DEFAULT_PRICE_PER_MB)
    rows = entries.order_by().values_list("way", "device__link_class__price_per_mb").annotate(total=Sum("agent_bytes"))
    count: defaultdict[str, int] = defaultdict(int)
    money: defaultdict[str, Decimal] = defaultdict(Decimal)
    for way, price, total in rows:
        count[way] += total
        money[way] += (default_price if price is None else price) * total / MB
    ways = [WaySpending(way or "not said yet", count[way], money[way]) for way in count]
    return Spending(sorted(ways, key=lambda way: -way.agent_bytes))
