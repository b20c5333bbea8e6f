"""What it costs to bring installations to a target, from values: each by its cheapest way, with what else it has to fetch.

The ways are the registry's `WayTable`, which also answers polls: what a forecast counts is what a device will be offered.

A forecast counts what a transfer that goes well puts on the wire: the bodies, and the headers of their requests. It knows nothing of failures,
retries and links that break; the ledger does, and the difference between the two is theirs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from fleet.devices.holdings import Holding
from fleet.ledger.models import LedgerEntry
from registry.deltas.queries import WayTable

Way = LedgerEntry.Way
BYTES_PER_MB = Decimal(10**6)
# Headers of one artifact download, both ways: the agent's request of 258 bytes and gunicorn's answer of 308, measured over loopback. A longer host
# name or a proxy's own headers add theirs; tests/contract/test_wire_bytes.py measures it again.
REQUEST_OVERHEAD_BYTES = 570
# Ways that cost nothing: the installation is at the target, or steps back to what it still has.
THERE = "there"
PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class TargetFiles:
    """What a device at the target has, by digest and size, and the ways there.

    Attributes:
        ways: to the model.
        coming: the bases (None: packed) whose patch is planned or being made.
        built_format: the patch format that it is made in.
    """

    model: str
    contract: str
    contract_bytes: int
    sample_set: str | None
    sample_set_bytes: int
    ways: WayTable
    coming: Collection[str | None]
    built_format: int


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


def cost_of(target: TargetFiles, holdings: Iterable[Holding], files_with: Mapping[str, Collection[str]]) -> Cost:
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
    target: TargetFiles, holding: Holding, files_with: Mapping[str, Collection[str]]
) -> tuple[str, dict[str, int]]:
    """The way of one installation, and the wire bytes of everything it fetches."""
    if holding.current == target.model:
        return THERE, {}
    if holding.previous == target.model:
        return PREVIOUS, {}
    cheapest = target.ways.ways(holding.held, holding.formats)[0]
    fetched = {cheapest.way: cheapest.size_bytes + REQUEST_OVERHEAD_BYTES}
    held = {held for model in (holding.current, holding.previous) if model for held in files_with.get(model, ())}
    if target.contract not in held:
        fetched[Way.CONTRACT.value] = target.contract_bytes + REQUEST_OVERHEAD_BYTES
    if target.sample_set is not None and target.sample_set not in held:
        fetched[Way.SAMPLE_SET.value] = target.sample_set_bytes + REQUEST_OVERHEAD_BYTES
    return cheapest.way, fetched


def _may_improve(target: TargetFiles, holding: Holding, way: str) -> bool:
    """Whether a patch that is not there yet could be cheaper: a delta, or `packed` where there is no delta."""
    bases: set[str | None] = set(holding.held)
    if way != Way.DELTA:
        bases.add(None)
    return target.built_format in holding.formats and not bases.isdisjoint(target.coming)
