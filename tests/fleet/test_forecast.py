"""Forecasts: the rules as a table, the sums over a real fleet, and how long ten thousand devices take."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fleet.devices.holdings import Holding
from fleet.ledger.forecast import REQUEST_OVERHEAD_BYTES, TargetFiles, cost_of
from fleet.ledger.queries import costs_of_variants
from fleet.rollouts.models import CohortMember
from fleet.rollouts.queries import poll_state
from registry.deltas.queries import Way, table_of
from registry.models import Version
from tests.factories.fleet import (
    make_device,
    make_fleet,
    make_group,
    make_link_class,
    make_patch,
    make_rollout,
    make_variant,
)
from tests.factories.people import api_as

OVERHEAD = REQUEST_OVERHEAD_BYTES
OLD, NEW, OTHER, CONTRACT, SAMPLES = "old", "new", "other", "contract", "samples"


def target(patches: Sequence[Way] = (), **changes: Any) -> TargetFiles:
    files: dict[str, Any] = {
        "model": NEW,
        "contract": CONTRACT,
        "contract_bytes": 500,
        "sample_set": SAMPLES,
        "sample_set_bytes": 900,
        "ways": table_of(Way("raw", NEW, 10_000), patches),
        "coming": (),
        "built_format": 1,
    }
    return TargetFiles(**(files | changes))


def holding(**changes: Any) -> Holding:
    fields: dict[str, Any] = {
        "current": OLD,
        "previous": "",
        "elsewhere": frozenset(),
        "formats": frozenset({1}),
        "price_per_mb": Decimal(2),
        "count": 1,
    }
    return Holding(**(fields | changes))


DELTA, PACKED = Way("delta", "d", 700, OLD, 1), Way("packed", "p", 8_000, None, 1)
SAME_FILES = {OLD: {CONTRACT, SAMPLES}}


@pytest.mark.parametrize(
    ("patches", "held", "way", "model_bytes"),
    [
        ([], holding(), "raw", 10_000),
        ([DELTA, PACKED], holding(), "delta", 700),
        ([DELTA, PACKED], holding(current=""), "packed", 8_000),
        ([DELTA, PACKED], holding(current=OTHER), "packed", 8_000),
        ([DELTA, PACKED], holding(current=OTHER, previous=OLD), "delta", 700),
        ([DELTA, PACKED], holding(current=OTHER, elsewhere=frozenset({OLD})), "delta", 700),
        ([DELTA, PACKED], holding(formats=frozenset()), "raw", 10_000),
        ([DELTA, PACKED], holding(formats=frozenset({2})), "raw", 10_000),
        ([Way("delta", "d", 20_000, OLD, 1)], holding(), "raw", 10_000),
    ],
)
def test_each_installation_takes_its_cheapest_way(
    patches: list[Way], held: Holding, way: str, model_bytes: int
) -> None:
    cost = cost_of(target(patches), [held], SAME_FILES | {OTHER: {CONTRACT, SAMPLES}})
    assert cost.devices_by_way == {way: 1}
    assert cost.bytes_by_way[way] == model_bytes + OVERHEAD


@pytest.mark.parametrize(("held", "way"), [(holding(current=NEW), "there"), (holding(previous=NEW), "previous")])
def test_what_the_device_has_costs_nothing(held: Holding, way: str) -> None:
    cost = cost_of(target(), [held], {})
    assert (cost.bytes_total, cost.money_total, cost.devices_by_way[way]) == (0, Decimal(0), 1)
    assert not cost.is_upper_bound


@pytest.mark.parametrize(
    ("files_with", "kinds"),
    [
        ({}, {"raw", "contract", "sample-set"}),
        ({OLD: {CONTRACT}}, {"raw", "sample-set"}),
        ({OLD: {CONTRACT, SAMPLES}}, {"raw"}),
    ],
)
def test_contract_and_sample_set_are_fetched_once_per_digest(files_with: dict[str, set[str]], kinds: set[str]) -> None:
    cost = cost_of(target(), [holding()], files_with)
    assert set(cost.bytes_by_way) == kinds


def test_money_is_the_bytes_at_each_link_class() -> None:
    fleet = [holding(count=3, price_per_mb=Decimal("0.5")), holding(count=2, price_per_mb=Decimal(0))]
    cost = cost_of(target(), fleet, SAME_FILES)
    assert cost.bytes_total == 5 * (10_000 + OVERHEAD)
    assert cost.money_total == Decimal("0.5") * 3 * (10_000 + OVERHEAD) / 10**6


@pytest.mark.parametrize(
    ("coming", "patches", "held", "upper"),
    [
        ({OLD}, [], holding(), True),
        (set(), [], holding(), False),
        ({None}, [], holding(), True),
        ({None}, [DELTA], holding(), False),  # a delta is there: packed will not beat it
        ({OTHER}, [DELTA], holding(previous=OTHER), True),
        ({OTHER}, [DELTA], holding(elsewhere=frozenset({OTHER})), True),
        ({OTHER}, [DELTA], holding(), False),
        ({OLD}, [], holding(formats=frozenset()), False),
        ({OLD}, [], holding(current=NEW, previous=OLD), False),
    ],
)
def test_forecast_says_when_a_better_patch_may_come(
    coming: set[str | None], patches: list[Way], held: Holding, *, upper: bool
) -> None:
    assert cost_of(target(patches, coming=coming), [held], SAME_FILES).is_upper_bound is upper


@pytest.mark.django_db
def test_forecast_and_poll_find_the_same_way_from_what_the_device_holds_of_another_line() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    elsewhere = make_variant("3.0.0", line="letters")
    make_patch(old.artifact, new.artifact, 700_000)
    make_patch(elsewhere.artifact, new.artifact, 60_000)
    both, one = make_device(), make_device()
    both.holds_all({"digits": old, "letters": elsewhere})
    one.holds(old)
    (cost,) = (each for each in costs_of_variants(model_line=new.version.model_line) if each.variant == new)
    assert cost.devices_by_way == {"delta": 2}
    assert cost.bytes_by_way["delta"] == 760_000 + 2 * OVERHEAD
    make_rollout(new)
    offered = [
        next(state.ways[0].size_bytes for state in poll_state(device.refresh()) if state.model == "digits")
        for device in (both, one)
    ]
    assert offered == [60_000, 700_000]


@pytest.mark.django_db
def test_forecast_is_exact_once_nothing_is_planned_any_more(settings: Any) -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    make_device().holds(old)
    make_patch(None, new.artifact, 800_000)

    def is_upper_bound() -> bool:
        costs = costs_of_variants(model_line=new.version.model_line)
        return next(cost.is_upper_bound for cost in costs if cost.variant == new)

    assert is_upper_bound()
    settings.SMALLFLEET_PATCH_BUDGET_S = 0
    assert not is_upper_bound()


@pytest.mark.django_db
def test_costs_of_a_mixed_fleet() -> None:
    old, new, tiny = make_variant("1.0.0"), make_variant("1.1.0"), make_variant("1.1.0", "int8", size_bytes=250_000)
    make_variant("2.0.0", state=Version.State.DRAFT)
    make_patch(old.artifact, new.artifact, 60_000)
    lte, wifi = make_link_class("lte", "0.5"), make_link_class("wifi", "0")
    make_fleet(3, current=old, link_classes=[lte])
    make_fleet(2, current=new, link_classes=[wifi])
    costs = {str(cost.variant): cost for cost in costs_of_variants(model_line=old.version.model_line)}
    assert set(costs) == {"digits/1.0.0 fp32", "digits/1.1.0 fp32", "digits/1.1.0 int8"}
    delta = costs["digits/1.1.0 fp32"]
    extra = 512 + OVERHEAD + 9_100 + OVERHEAD
    assert (delta.devices, delta.devices_there) == (5, 2)
    assert delta.bytes_by_way == {
        "delta": 3 * (60_000 + OVERHEAD),
        "contract": 3 * (512 + OVERHEAD),
        "sample-set": 3 * (9_100 + OVERHEAD),
    }
    assert delta.money_total == Decimal("0.5") * 3 * (60_000 + OVERHEAD + extra) / 10**6
    quantised = costs["digits/1.1.0 int8"]
    assert quantised.devices_by_way == {"raw": 5}
    assert quantised.bytes_total == 5 * (250_000 + OVERHEAD) + 3 * extra  # two have the files of 1.1.0
    assert (delta.is_upper_bound, quantised.is_upper_bound) == (False, True)
    assert tiny.version == new.version


@pytest.mark.django_db
def test_costs_of_a_group_and_the_default_price(settings: Any) -> None:
    settings.SMALLFLEET_DEFAULT_PRICE_PER_MB = "3"
    new = make_variant("1.1.0")
    line = new.version.model_line
    make_device(attributes={"site": "berlin"}).holds(None)
    make_device(attributes={"site": "lyon"}).holds(None)
    (cost,) = costs_of_variants(model_line=line, group=make_group())
    assert cost.devices == 1
    assert cost.money_total == Decimal(3) * cost.bytes_total / 10**6
    body = api_as("viewer").get("/api/v1/models/digits/costs?group=berlin").json()
    assert body["currency"] == "EUR"
    assert body["variants"][0]["bytes_total"] == cost.bytes_total
    assert Decimal(body["variants"][0]["money_total"]) == cost.money_total
    assert api_as("viewer", "other").get("/api/v1/models/digits/costs?group=none").status_code == 404


@pytest.mark.django_db
def test_line_without_devices_costs_nothing() -> None:
    (cost,) = costs_of_variants(model_line=make_variant().version.model_line)
    assert (cost.devices, cost.bytes_total, cost.is_upper_bound) == (0, 0, False)


@pytest.mark.django_db
def test_ten_thousand_devices_are_forecast_and_started_in_seconds() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    for number in range(8):
        make_variant("1.2.0", f"rung-{number}", size_bytes=100_000 + number)
    make_patch(old.artifact, new.artifact)
    make_fleet(10_000, current=old, link_classes=[make_link_class(f"link-{n}", "0.1") for n in range(5)])
    began = time.perf_counter()
    with CaptureQueriesContext(connection) as queries:
        costs = costs_of_variants(model_line=old.version.model_line)
    forecast_s = time.perf_counter() - began
    assert len(queries) <= 16
    assert {cost.devices for cost in costs} == {10_000}
    began = time.perf_counter()
    rollout = make_rollout(new)
    start_s = time.perf_counter() - began
    assert CohortMember.objects.filter(rollout=rollout).count() == 10_000
    assert forecast_s < 1
    assert start_s < 10
