"""What it costs to bring installations to a target, from values: each by its cheapest way, with what else it has to fetch.

A forecast counts what a transfer that goes well puts on the wire: the bodies, and the headers of their requests. It knows nothing of failures,
retries and links that break; the ledger does, and the difference between the two is theirs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fleet.ledger.models import LedgerEntry

Way = LedgerEntry.Way
BYTES_PER_MB = Decimal(10**6)
# Headers of one artifact download, both ways: the agent's request of 258 bytes and gunicorn's answer of 308, measured over loopback. A longer host
# name or a proxy's own headers add theirs; tests/contract/test_wire_bytes.py measures it again.
REQUEST_OVERHEAD_BYTES = 570
# Ways that cost nothing: the installation is at the target, or steps back to what it still has.
THERE = "there"
PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Holding:
    """Installations that are alike in everything that decides their cost.

    Attributes:
        current, previous: ids of the artifacts they hold, None for nothing or something unknown.
        formats: the patch formats their agents read.
        price_per_mb: of their link class, per 10^6 bytes.
        count: how many installations.
    """

    current: int | None
    previous: int | None
    formats: frozenset[int]
    price_per_mb: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class PatchOffer:
    """A patch to the target that is ready; `base` is None for `packed`."""

    base: int | None
    format: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TargetFiles:
    """What a device at the target has: artifact ids and sizes, and the patches that lead there.

    Attributes:
        patches: the ready ones.
        settled: the bases (None: packed) that need no more waiting: their patch is ready, useless or failed.
        built_format: the patch format that is being built.
    """

    model: int
    model_bytes: int
    contract: int
    contract_bytes: int
    sample_set: int | None
    sample_set_bytes: int
    patches: Sequence[PatchOffer] = ()
    settled: Collection[int | None] = frozenset()
    built_format: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """The sum over all installations.

    Attributes:
        bytes_by_way: wire bytes; `contract` and `sample-set` have lines of their own.
        devices_by_way: installations by the way their model comes; also `there` and `previous`.
        is_upper_bound: a patch that is not built yet may make it cheaper.
    """

    devices: int = 0
    devices_there: int = 0
    bytes_total: int = 0
    money_total: Decimal = Decimal(0)
    bytes_by_way: Mapping[str, int] = field(default_factory=dict)
    devices_by_way: Mapping[str, int] = field(default_factory=dict)
    is_upper_bound: bool = False


def cost_of(target: TargetFiles, holdings: Iterable[Holding], files_with: Mapping[int, Collection[int]]) -> Cost:
    """What it costs to bring all holdings to the target.

    Args:
        target: where to.
        holdings: where from.
        files_with: by model artifact, the contracts and sample sets that a device has with it.
    """
    bytes_by_way: Counter[str] = Counter()
    devices_by_way: Counter[str] = Counter()
    money, upper_bound = Decimal(0), False
    for holding in holdings:
        way, fetched = _fetch(target, holding, files_with)
        devices_by_way[way] += holding.count
        for kind, size_bytes in fetched.items():
            bytes_by_way[kind] += size_bytes * holding.count
        money += holding.price_per_mb * sum(fetched.values()) * holding.count / BYTES_PER_MB
        upper_bound = upper_bound or (bool(fetched) and _may_improve(target, holding, way))
    return Cost(
        devices=devices_by_way.total(),
        devices_there=devices_by_way[THERE],
        bytes_total=bytes_by_way.total(),
        money_total=money,
        bytes_by_way=dict(bytes_by_way),
        devices_by_way=dict(devices_by_way),
        is_upper_bound=upper_bound,
    )


def _fetch(
    target: TargetFiles, holding: Holding, files_with: Mapping[int, Collection[int]]
) -> tuple[str, dict[str, int]]:
    """The way of one installation, and the wire bytes of everything it fetches."""
    if holding.current == target.model:
        return THERE, {}
    if holding.previous == target.model:
        return PREVIOUS, {}
    way, size_bytes = _cheapest(target, holding)
    fetched = {way: size_bytes + REQUEST_OVERHEAD_BYTES}
    held = {held for model in (holding.current, holding.previous) if model for held in files_with.get(model, ())}
    if target.contract not in held:
        fetched[Way.CONTRACT.value] = target.contract_bytes + REQUEST_OVERHEAD_BYTES
    if target.sample_set is not None and target.sample_set not in held:
        fetched[Way.SAMPLE_SET.value] = target.sample_set_bytes + REQUEST_OVERHEAD_BYTES
    return way, fetched


def _cheapest(target: TargetFiles, holding: Holding) -> tuple[str, int]:
    ways = [(target.model_bytes, Way.RAW.value)]
    ways += [(patch.size_bytes, _way(patch)) for patch in target.patches if _fits(patch, holding)]
    size_bytes, way = min(ways)
    return way, size_bytes


def _way(patch: PatchOffer) -> str:
    return (Way.PACKED if patch.base is None else Way.DELTA).value


def _fits(patch: PatchOffer, holding: Holding) -> bool:
    return patch.format in holding.formats and patch.base in {None, holding.current, holding.previous}


def _may_improve(target: TargetFiles, holding: Holding, way: str) -> bool:
    """Whether a patch that is not settled, or not even asked for, could be cheaper: a delta, or `packed` where there is no delta."""
    bases: set[int | None] = {holding.current, holding.previous} - {None}
    if way != Way.DELTA:
        bases.add(None)
    return target.built_format in holding.formats and not bases <= set(target.settled)
