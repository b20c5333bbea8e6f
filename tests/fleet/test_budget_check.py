"""Variants against the limits of their line by what devices measured: a table of rules, and the whole over the wire."""

from typing import Any

import pytest
from django.test import Client

from access.actors import SYSTEM
from access.models import Role
from fleet.devices.models import Device
from fleet.measurements.budgets import check_measured
from fleet.measurements.figures import Stood, accuracy_of, energy_of, spread_of
from fleet.measurements.models import BenchmarkSeries
from fleet.measurements.queries import SeriesFigures
from registry.budgets import Check, Verdict, parse_limits
from registry.models import Artifact, ModelLine, Variant
from registry.services import set_budget
from tests.factories.fleet import make_fleet, make_variant
from tests.factories.measurements import made_run, store_runs
from tests.factories.people import api_as, make_person

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
MS = 1_000_000


def stood(**changes: Any) -> Stood:
    figures: dict[str, Any] = {
        "p50_latency_ns": 50 * MS,
        "cpu_ns": 50 * MS,
        "peak_memory_bytes": 30_000_000,
        "energy_j": None,
        "energy_source": "",
        "energy_tier": None,
        "accuracy": None,
        "accuracy_ci_low": None,
        "accuracy_ci_high": None,
    }
    return Stood(**(figures | changes))


def joules(value: float, source: str = "hwmon of board", tier: int = 0) -> Stood:
    return stood(energy_j=value, energy_source=source, energy_tier=tier)


def accurate(value: float, low: float, high: float) -> Stood:
    return stood(accuracy=value, accuracy_ci_low=low, accuracy_ci_high=high)


def figures_of(*standing: Stood, device_class: str = "pi4", invalid_runs: int = 0) -> SeriesFigures:
    series = BenchmarkSeries(
        model_line=ModelLine(name="digits"),
        artifact=Artifact(sha256="a" * 64, size_bytes=1),
        device_class=device_class,
        runtime="onnxruntime 1.31.1",
        configuration="canonical",
        threads=1,
        providers="CPUExecutionProvider",
        runs=len(standing) + invalid_runs,
        invalid_runs=invalid_runs,
    )
    return SeriesFigures(
        series=series,
        name=None,
        standing=standing,
        latency=spread_of(one.p50_latency_ns for one in standing),
        fleet=None,
        peak_memory=spread_of(one.peak_memory_bytes for one in standing),
        energy=energy_of(standing),
        accuracy=accuracy_of(standing),
    )


def only(limits: dict[str, Any], *figures: SeriesFigures, classes: dict[str, int] | None = None) -> Check:
    (check,) = check_measured(parse_limits(limits), figures, classes or {})
    return check


@pytest.mark.parametrize(
    ("limits", "standing", "verdict", "value", "behind"),
    [
        ({"fps": {"at_least": 15}}, [stood(p50_latency_ns=50 * MS)], PASS, 20, (1, 0)),
        ({"fps": {"at_least": 15}}, [stood(p50_latency_ns=100 * MS)], FAIL, 10, (1, 1)),
        # The median device decides, and who is slower is counted.
        ({"fps": {"at_least": 15}}, [stood(p50_latency_ns=each * MS) for each in (50, 50, 100)], PASS, 20, (3, 1)),
        ({"fps": {"at_least": 15}}, [stood(p50_latency_ns=None)], UNKNOWN, None, (0, 0)),
        ({"energy_j": {"at_most": 2}}, [joules(1.9), joules(0.1), joules(5)], PASS, 1.9, (3, 1)),
        ({"energy_j": {"at_most": 2}}, [joules(2.1)], FAIL, 2.1, (1, 1)),
        ({"energy_j": {"at_most": 2}}, [stood()], UNKNOWN, None, (1, 0)),
        # An estimate from CPU time does not compare with a meter, and is left out where there is one.
        ({"energy_j": {"at_most": 2}}, [joules(9, "cputime-watts of process-share", 5), joules(1)], PASS, 1, (1, 0)),
        # Memory must fit the worst device.
        ({"peak_memory_bytes": {"at_most": 10**8}}, [stood(), stood(peak_memory_bytes=2 * 10**8)], FAIL, 2e8, (2, 1)),
        ({"peak_memory_bytes": {"at_most": 10**8}}, [stood(peak_memory_bytes=None)], UNKNOWN, None, (0, 0)),
        ({"quality": {"metric": "top1", "at_least": 0.9}}, [accurate(0.92, 0.8, 0.97)], PASS, 0.92, (1, 0)),
        ({"quality": {"metric": "top1", "at_least": 0.9}}, [accurate(0.7, 0.6, 0.8)], FAIL, 0.7, (1, 0)),
        # 64 samples do not tell 0.88 from 0.9.
        ({"quality": {"metric": "top1", "at_least": 0.9}}, [accurate(0.88, 0.78, 0.94)], UNKNOWN, 0.88, (1, 0)),
    ],
)
def test_limit_against_what_devices_measured(
    limits: dict[str, Any], standing: list[Stood], verdict: Verdict, value: float | None, behind: tuple[int, int]
) -> None:
    check = only(limits, figures_of(*standing))
    assert (check.verdict, (check.devices, check.devices_beyond)) == (verdict, behind)
    assert check.value == (None if value is None else pytest.approx(value))
    assert check.by_devices
    assert bool(check.detail)


def test_wanted_speed_is_told_apart_from_the_required_one() -> None:
    limits = {"fps": {"at_least": 15, "wanted": 30}}
    assert only(limits, figures_of(stood(p50_latency_ns=50 * MS))).meets_wanted is False
    assert only(limits, figures_of(stood(p50_latency_ns=30 * MS))).meets_wanted is True


@pytest.mark.parametrize(
    ("figures", "classes", "device_class", "why"),
    [
        ([], {"pi4": 12}, "pi4", "not measured by any of 12 devices"),
        ([figures_of(invalid_runs=3)], {"pi4": 12}, "pi4", "3 invalid runs and none that counts"),
        ([figures_of(invalid_runs=1)], {}, "pi4", "1 invalid run and none that counts"),
        ([], {}, "", "not measured by any of 0 devices"),
    ],
)
def test_what_no_run_counts_for_is_unknown_and_says_why(
    figures: list[SeriesFigures], classes: dict[str, int], device_class: str, why: str
) -> None:
    check = only({"fps": {"at_least": 15}}, *figures, classes=classes)
    assert (check.verdict, check.device_class, check.detail) == (UNKNOWN, device_class, why)


def test_quality_on_a_named_data_set_is_not_decided_by_the_samples_of_devices() -> None:
    named = {"quality": {"metric": "top1", "at_least": 0.9, "dataset_sha256": "d" * 64}}
    assert check_measured(parse_limits(named), [figures_of(accurate(0.5, 0.4, 0.6))], {}) == []


def test_class_that_has_left_the_fleet_is_not_missed() -> None:
    """Its runs are counted in its series, and no device stands in it any more."""
    left = figures_of(device_class="pi3")
    checks = check_measured(parse_limits({"fps": {"at_least": 15}}), [figures_of(stood()), left], {"pi4": 1})
    assert [(check.device_class, check.verdict) for check in checks] == [("pi4", PASS)]


def test_every_class_is_checked_by_itself() -> None:
    checks = check_measured(
        parse_limits({"fps": {"at_least": 15}}),
        [figures_of(stood()), figures_of(stood(p50_latency_ns=100 * MS), device_class="mcu")],
        {"pi4": 5, "pi5": 5},
    )
    assert {check.device_class: check.verdict for check in checks} == {"pi4": PASS, "mcu": FAIL, "pi5": UNKNOWN}


def test_samples_without_labels_leave_quality_to_evaluations() -> None:
    limits = parse_limits({"quality": {"metric": "top1", "at_least": 0.9}})
    assert check_measured(limits, [figures_of(stood())], {"pi4": 3}) == []


def test_metric_that_devices_do_not_measure_is_left_to_evaluations() -> None:
    limits = parse_limits({"quality": {"metric": "top5-error", "at_most": 0.2}})
    assert check_measured(limits, [figures_of(accurate(0.1, 0.0, 0.2))], {}) == []


# --- Over the wire --------------------------------------------------------------------------------------------------

LIMITS = {
    "file_size_bytes": {"at_most": 1_000_000},
    "fps": {"at_least": 15, "wanted": 600},
    "energy_j": {"at_most": 2},
}


@pytest.fixture
def variant(db: None) -> Variant:
    made = make_variant()
    set_budget(actor=SYSTEM, model_line=made.version.model_line, limits=LIMITS, configuration="canonical")
    return made


def measure(variant: Variant, devices: list[Device], **about: Any) -> None:
    store_runs(made_run(device, variant.version.model_line, variant.artifact, **about) for device in devices)


def checks_of(answer: Any) -> dict[str, tuple[str, float | None, int]]:
    (shown,) = answer["variants"]
    return {check["quantity"]: (check["verdict"], check["value"], check["devices"]) for check in shown["checks"]}


def test_version_is_checked_by_its_file_and_by_the_runs_that_count(variant: Variant) -> None:
    devices = make_fleet(3, current=variant)
    measure(variant, devices[:2], p50_ns=2 * MS, energy_j=0.5)
    measure(variant, devices[2:], p50_ns=900 * MS, energy_j=90, validity="invalid")
    measure(variant, devices, p50_ns=900 * MS, energy_j=90, configuration="device-default")
    answer = api_as(Role.VIEWER).get("/api/v1/models/digits/versions/1.0.0/budget-check").json()
    assert answer["variants"][0]["verdict"] == "pass"
    assert checks_of(answer) == {
        "file_size_bytes": ("pass", 900_000, 0),
        "fps": ("pass", 500, 2),
        "energy_j": ("pass", 0.5, 2),
    }
    fps = next(check for check in answer["variants"][0]["checks"] if check["quantity"] == "fps")
    assert (fps["at_least"], fps["wanted"], fps["meets_wanted"], fps["device_class"]) == (15, 600, False, "pi5")


def test_budget_may_be_meant_for_the_devices_own_configuration(variant: Variant) -> None:
    measure(variant, make_fleet(1, current=variant), p50_ns=100 * MS, configuration="device-default", energy_j=1)
    line = variant.version.model_line
    api = api_as(Role.VIEWER)
    address = "/api/v1/models/digits/versions/1.0.0/budget-check"
    assert checks_of(api.get(address).json())["fps"][0] == "unknown"
    set_budget(actor=SYSTEM, model_line=line, limits=LIMITS, configuration="device-default")
    assert checks_of(api.get(address).json())["fps"] == ("fail", 10, 1)


@pytest.mark.django_db
def test_line_without_limits_has_nothing_to_check() -> None:
    make_variant()
    api = api_as(Role.VIEWER)
    assert api.get("/api/v1/models/digits/versions/1.0.0/budget-check").json()["variants"] == []
    assert api.get("/api/v1/models/digits/versions/9.0.0/budget-check").status_code == 404


def test_page_of_the_line_shows_the_table(variant: Variant, client: Client) -> None:
    client.force_login(make_person(Role.VIEWER))
    measure(variant, make_fleet(2, current=variant), p50_ns=100 * MS)
    page = client.get("/models/digits/").content.decode()
    assert 'id="budget"' in page
    assert "at least 15 FPS, wanted 600 FPS" in page
    assert '<span class="state fail">fail</span> 10 FPS' in page
    assert "2 devices, 2 beyond the limit, not what is wanted" in page
    assert "pi5: no device of it has a meter" in page
    set_budget(actor=SYSTEM, model_line=variant.version.model_line, limits={}, configuration="canonical")
    assert 'id="budget"' not in client.get("/models/digits/").content.decode()
