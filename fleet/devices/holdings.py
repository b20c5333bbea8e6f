"""What the fleet holds, as few groups of installations that are alike: forecasts and the plan of patches count the same devices.

A way is a delta from an artifact that a device holds, of any model line. So a group says what its devices hold of their other
lines too, but only of the artifacts that are asked about: nearly always none, and then the database does the counting.
"""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q

from fleet.devices.models import Group, Installation
from fleet.devices.queries import installations_in
from registry.models import ModelLine


@dataclass(frozen=True, slots=True)
class Holding:
    """Installations that are alike in everything that decides what they fetch and what that costs.

    Attributes:
        current, previous: digests of what they hold, empty for nothing; the registry may not know them.
        elsewhere: what their devices hold for other model lines, of the artifacts that were asked about.
        formats: the patch formats their agents read.
        price_per_mb: of their link class, per 10^6 bytes.
        count: how many installations.
    """

    current: str
    previous: str
    elsewhere: frozenset[str]
    formats: frozenset[int]
    price_per_mb: Decimal
    count: int

    @property
    def held(self) -> frozenset[str]:
        """Everything that a delta may start from."""
        return (self.elsewhere | {self.current, self.previous}) - {""}


def default_price() -> Decimal:
    """What a byte costs a device without a link class, per 10^6 bytes."""
    return Decimal(settings.SMALLFLEET_DEFAULT_PRICE_PER_MB)


def holdings_of(
    *,
    model_line: ModelLine,
    group: Group | None = None,
    bases: Collection[str] = (),
    fixed: bool = False,
    among: Q | None = None,
) -> list[Holding]:
    """The installations of the line on devices of the group, or on all.

    Args:
        model_line: whose installations.
        group: on whose devices; None is all.
        bases: digests of what deltas to this line start from, to be looked for on the same devices under other lines.
        fixed: as of `installations_in`.
        among: as of `installations_in`.
    """
    key = ("current_sha256", "previous_sha256", "device__patch_formats", "device__link_class__price_per_mb")
    installations = installations_in(model_line=model_line, group=group, fixed=fixed, among=among).order_by()
    elsewhere = _held_elsewhere(model_line, bases) if bases else {}
    if not elsewhere:
        rows = [(*row[:-1], frozenset[str](), row[-1]) for row in installations.values_list(*key).annotate(Count("pk"))]
    else:
        counted = Counter(
            (current, previous, tuple(formats), price, elsewhere.get(device, frozenset()))
            for device, current, previous, formats, price in installations.values_list("device", *key)
        )
        rows = [(*alike, count) for alike, count in counted.items()]
    return [
        Holding(current, previous, others, frozenset(formats), default_price() if price is None else price, count)
        for current, previous, formats, price, others, count in rows
    ]


def _held_elsewhere(model_line: ModelLine, bases: Collection[str]) -> dict[UUID, frozenset[str]]:
    """By device, which of the bases it holds for another line."""
    others = Installation.objects.filter(active=True, device__revoked_at=None).exclude(model_line=model_line).order_by()
    holding = others.filter(Q(current_sha256__in=bases) | Q(previous_sha256__in=bases))
    found: defaultdict[UUID, set[str]] = defaultdict(set)
    for device, current, previous in holding.values_list("device", "current_sha256", "previous_sha256"):
        found[device] |= {current, previous} & set(bases)
    return {device: frozenset(held) for device, held in found.items()}
