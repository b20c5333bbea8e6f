"""Forecasts: the rules as a table, the sums over a real fleet, and how long ten thousand devices take."""

import time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fleet.ledger.forecast import REQUEST_OVERHEAD_BYTES, Holding, PatchOffer, TargetFiles, cost_of
from fleet.ledger.queries import costs_of_variants
from fleet.rollouts.models import CohortMember
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
OLD, NEW, CONTRACT, SAMPLES = 1, 2, 10, 20


def target(**changes: Any) -> TargetFiles:
    files: dict[str, Any] = {
        "model": NEW,
        "model_bytes": 10_000,
        "contract": CONTRACT,
        "contract_bytes": 500,
        "sample_set": SAMPLES,
        "sample_set_bytes": 900,
    }
    return TargetFiles(**(files | changes))


def holding(**changes: Any) -> Holding:
    fields: dict[str, Any] = {
        "current": OLD,
        "previous": None,
        "formats": frozenset({1}),
        "price_per_mb": Decimal(2),
        "count": 1,
    }
    return Holding(**(fields | changes))


DELTA, PACKED = PatchOffer(OLD, 1, 700), PatchOffer(None, 1, 8_000)
SAME_FILES = {OLD: {CONTRACT, SAMPLES}}


@pytest.mark.parametrize(
    ("patches", "held", "way", "model_bytes"),
    [
        ([], holding(), "raw", 10_000),
        ([DELTA, PACKED], holding(), "delta", 700),
        ([DELTA, PACKED], holding(current=None), "packed", 8_000),
        ([DELTA, PACKED], holding(current=99), "packed", 8_000),
        ([DELTA, PACKED], holding(current=99, previous=OLD), "delta", 700),
        ([DELTA, PACKED], holding(formats=frozenset()), "raw", 10_000),
        ([DELTA, PACKED], holding(formats=frozenset({2})), "raw", 10_000),
        ([PatchOffer(OLD, 1, 20_000)], holding(), "raw", 10_000),
    ],
)
def test_each_installation_takes_its_cheapest_way(
    patches: list[PatchOffer], held: Holding, way: str, model_bytes: int
) -> None:
    cost = cost_of(target(patches=patches), [held], SAME_FILES | {99: {CONTRACT, SAMPLES}})
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
def test_contract_and_sample_set_are_fetched_once_per_digest(files_with: dict[int, set[int]], kinds: set[str]) -> None:
    cost = cost_of(target(), [holding()], files_with)
    assert set(cost.bytes_by_way) == kinds


def test_money_is_the_bytes_at_each_link_class() -> None:
    fleet = [holding(count=3, price_per_mb=Decimal("0.5")), holding(count=2, price_per_mb=Decimal(0))]
    cost = cost_of(target(), fleet, SAME_FILES)
    assert cost.bytes_total == 5 * (10_000 + OVERHEAD)
    assert cost.money_total == Decimal("0.5") * 3 * (10_000 + OVERHEAD) / 10**6


@pytest.mark.parametrize(
    ("settled", "patches", "held", "upper"),
    [
        (set(), [], holding(), True),
        ({OLD, None}, [], holding(), False),
        ({OLD}, [], holding(), True),  # packed may still come
        ({OLD}, [DELTA], holding(), False),  # a delta is there: packed will not beat it
        ({OLD}, [DELTA], holding(previous=7), True),  # a delta from the previous one may
        (set(), [], holding(formats=frozenset()), False),
        (set(), [], holding(current=NEW), False),
    ],
)
def test_forecast_says_when_a_better_patch_may_come(
    settled: set[int | None], patches: list[PatchOffer], held: Holding, *, upper: bool
) -> None:
    assert cost_of(target(settled=settled, patches=patches), [held], SAME_FILES).is_upper_bound is upper


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
    assert len(queries) == 4
    assert {cost.devices for cost in costs} == {10_000}
    began = time.perf_counter()
    rollout = make_rollout(new)
    start_s = time.perf_counter() - began
    assert CohortMember.objects.filter(rollout=rollout).count() == 10_000
    assert forecast_s < 1
    assert start_s < 10
