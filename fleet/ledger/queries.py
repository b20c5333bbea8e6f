"""Reads that add up: what a rollout put on the wire, and what it would cost to bring today's fleet to a variant."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from access.actors import Actor
from fleet.devices.holdings import default_price, holdings_of
from fleet.devices.models import Device, Group
from fleet.ledger.forecast import BYTES_PER_MB, Cost, TargetFiles, cost_of
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.models import Attempt, Rollout
from fleet.rollouts.patches import line_outlook
from fleet.rollouts.visibility import ledger_condition
from registry.deltas.formats import BUILT_FORMAT
from registry.deltas.planning import Status
from registry.deltas.queries import WayTable, way_tables
from registry.models import ModelLine, Variant, Version

# --- Forecast -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VariantCost:
    """What it costs to bring today's fleet to a variant.

    Attributes:
        devices: installations in the cohort.
        devices_there: of them, those at the variant already.
        bytes_total: HTTP bytes, headers included.
        money_total: at the prices of the link classes, in SMALLFLEET_CURRENCY.
        is_upper_bound: a patch that is planned or being built may make it cheaper.
    """

    variant: Variant
    devices: int
    devices_there: int
    bytes_total: int
    money_total: Decimal
    bytes_by_way: Mapping[str, int]
    devices_by_way: Mapping[str, int]
    is_upper_bound: bool


def costs_of_variants(
    *, model_line: ModelLine, group: Group | None = None, among: Q | None = None
) -> list[VariantCost]:
    """What each published variant of the line costs for the installations of the group, or all; `among` as of `installations_in`."""
    published = Variant.objects.filter(version__model_line=model_line, version__state=Version.State.PUBLISHED)
    return _costs(published, model_line, group, among=among)


def cost_of_variant(
    *, variant: Variant, group: Group | None = None, fixed: bool = False, among: Q | None = None
) -> VariantCost:
    """What one variant costs, whatever the state of its version; `fixed` and `among` as of `installations_in`."""
    chosen = Variant.objects.filter(pk=variant.pk)
    return _costs(chosen, variant.version.model_line, group, fixed=fixed, among=among)[0]


def _costs(
    variants: QuerySet[Variant],
    model_line: ModelLine,
    group: Group | None,
    *,
    fixed: bool = False,
    among: Q | None = None,
) -> list[VariantCost]:
    chosen = list(
        variants.select_related("artifact", "version__model_line", "version__contract", "version__sample_set").order_by(
            "version_id", "id"
        )
    )
    tables = way_tables(variant.artifact for variant in chosen)
    holdings = holdings_of(model_line=model_line, group=group, bases=_bases(tables.values()), fixed=fixed, among=among)
    files_with = _files_with(model_line)
    coming = _coming(model_line, chosen) if holdings else {}
    return [
        _variant_cost(variant, cost_of(_target_files(variant, tables, coming), holdings, files_with))
        for variant in chosen
    ]


def _bases(tables: Iterable[WayTable]) -> set[str]:
    """What any of the patches starts from."""
    return {way.base for table in tables for way in table.patches if way.base is not None}


def _coming(model_line: ModelLine, variants: Iterable[Variant]) -> dict[str, set[str | None]]:
    """By target, the bases (None: packed) whose patch is planned or being made."""
    coming: dict[str, set[str | None]] = defaultdict(set)
    for pair, one in line_outlook(model_line, also=variants).plan.pairs.items():
        if one.status in {Status.PLANNED, Status.BUILDING}:
            coming[pair.target].add(pair.base)
    return coming


def _files_with(model_line: ModelLine) -> dict[str, set[str]]:
    """By model artifact, the contracts and sample sets of the line's versions that have it."""
    files: dict[str, set[str]] = defaultdict(set)
    rows = Variant.objects.filter(version__model_line=model_line).values_list(
        "artifact__sha256", "version__contract__sha256", "version__sample_set__sha256"
    )
    for model, *others in rows:
        files[model].update(filter(None, others))
    return files


def _target_files(
    variant: Variant, tables: Mapping[str, WayTable], coming: Mapping[str, Collection[str | None]]
) -> TargetFiles:
    version, model = variant.version, variant.artifact.sha256
    return TargetFiles(
        model=model,
        contract=version.contract.sha256,
        contract_bytes=version.contract.size_bytes,
        sample_set=version.sample_set.sha256 if version.sample_set else None,
        sample_set_bytes=version.sample_set.size_bytes if version.sample_set else 0,
        ways=tables[model],
        coming=coming.get(model, ()),
        built_format=BUILT_FORMAT,
    )


def _variant_cost(variant: Variant, cost: Cost) -> VariantCost:
    return VariantCost(
        variant=variant,
        devices=cost.devices,
        devices_there=cost.devices_there,
        bytes_total=cost.bytes_total,
        money_total=cost.money_total,
        bytes_by_way=cost.bytes_by_way,
        devices_by_way=cost.devices_by_way,
        is_upper_bound=cost.is_upper_bound,
    )


# --- Ledger ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WayBytes:
    """What one way put on the wire. `server_bytes` is None where others than this server carried all of it."""

    way: str
    agent_bytes: int
    server_bytes: int | None
    requests: int
    devices: int


@dataclass(frozen=True, slots=True)
class DeviceBytes:
    """What one device put on the wire, and what that cost at its link class's price of today."""

    device_id: UUID
    device: str
    link_class: str | None
    ways: tuple[str, ...]
    agent_bytes: int
    server_bytes: int | None
    money: Decimal


@dataclass(frozen=True, slots=True)
class RolloutLedger:
    """The bytes of a rollout, failures and retries included.

    Attributes:
        devices: how many put bytes on the wire; `by_device` may show fewer of them, the most expensive first.
    """

    agent_bytes: int
    server_bytes: int | None
    requests: int
    money: Decimal
    devices: int
    by_way: tuple[WayBytes, ...]
    by_device: tuple[DeviceBytes, ...]


def ledger_of_rollout(rollout: Rollout, *, actor: Actor, device_limit: int = 1000) -> RolloutLedger:
    """The bytes of a rollout by way, and by device for those that the actor may see.

    A delivery that names another device's attempt is in nobody's ledger.
    """
    entries = _entries_of(rollout)
    totals = entries.aggregate(
        agent=Sum("agent_bytes", default=0),
        server=Sum("server_bytes"),
        requests=Sum("requests", default=0),
        devices=Count("device", distinct=True),
    )
    return RolloutLedger(
        agent_bytes=totals["agent"],
        server_bytes=totals["server"],
        requests=totals["requests"],
        money=_money(entries),
        devices=totals["devices"],
        by_way=_by_way(entries),
        by_device=_by_device(entries.filter(ledger_condition(actor)), device_limit),
    )


def _entries_of(rollout: Rollout) -> QuerySet[LedgerEntry]:
    ours = Attempt.objects.filter(rollout=rollout)
    own_attempts = ours.filter(pk=OuterRef("attempt_id"), installation__device=OuterRef("device"))
    # The first condition says nothing new, but lets the database begin with the rollout's attempts in place of the whole ledger.
    return LedgerEntry.objects.filter(Exists(own_attempts), attempt_id__in=ours.values("pk")).order_by()


def _money(entries: QuerySet[LedgerEntry]) -> Decimal:
    by_price = entries.values_list("device__link_class__price_per_mb").annotate(Sum("agent_bytes"))
    return sum((_price(price) * wire_bytes / BYTES_PER_MB for price, wire_bytes in by_price), Decimal(0))


def _price(price: Decimal | None) -> Decimal:
    return default_price() if price is None else price


def _by_way(entries: QuerySet[LedgerEntry]) -> tuple[WayBytes, ...]:
    rows = (
        entries.values_list("way")
        .annotate(Sum("agent_bytes"), Sum("server_bytes"), Sum("requests"), Count("device", distinct=True))
        .order_by("way")
    )
    return tuple(WayBytes(*row) for row in rows)


def _by_device(entries: QuerySet[LedgerEntry], limit: int) -> tuple[DeviceBytes, ...]:
    rows = list(
        entries.values("device")
        .annotate(agent=Sum("agent_bytes"), server=Sum("server_bytes"))
        .order_by("-agent", "device")[:limit]
    )
    shown = [row["device"] for row in rows]
    devices = {device.pk: device for device in Device.objects.filter(pk__in=shown).select_related("link_class")}
    ways: dict[UUID, set[str]] = defaultdict(set)
    for device_id, way in entries.filter(device__in=shown).values_list("device", "way").distinct():
        ways[device_id].add(way)
    return tuple(_device_bytes(row, devices[row["device"]], ways[row["device"]]) for row in rows)


def _device_bytes(row: Mapping[str, Any], device: Device, ways: Iterable[str]) -> DeviceBytes:
    link_class = device.link_class
    return DeviceBytes(
        device_id=device.pk,
        device=device.name,
        link_class=link_class.name if link_class else None,
        ways=tuple(sorted(ways)),
        agent_bytes=row["agent"],
        server_bytes=row["server"],
        money=_price(link_class.price_per_mb if link_class else None) * row["agent"] / BYTES_PER_MB,
    )
