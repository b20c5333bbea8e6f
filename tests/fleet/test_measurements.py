"""Benchmark reports: real ones by the ruler, each once, and what is read out of many."""

import copy
import json
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from access.actors import SYSTEM
from benchmarks.histogram import histogram_of, samples_in
from benchmarks.runner import run_benchmark
from fleet.devices.models import Device
from fleet.measurements.api.serializers import MAX_WHOLE_REPORTS
from fleet.measurements.models import BenchmarkReport
from fleet.measurements.queries import series_figures
from registry.models import Artifact, ModelLine
from tests.factories.fleet import EnrolledDevice, in_threads, make_device, make_fleet, make_variant, sha
from tests.factories.measurements import made_run, store_runs
from tests.factories.people import api_as
from tests.factories.registry import digest, onnx_model


@pytest.fixture(scope="module")
def real_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the ruler says of a small model on this machine."""
    model = tmp_path_factory.mktemp("ruler") / "model.onnx"
    model.write_bytes(onnx_model())
    return run_benchmark(model, tier="smoke", timeout_s=120)


@pytest.fixture
def line(db: None) -> ModelLine:
    """A line whose registry has the benchmarked model."""
    Artifact.objects.create(sha256=digest(onnx_model()), size_bytes=len(onnx_model()), kind="model")
    return make_variant().version.model_line


def message(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"model": "digits", "sha256": digest(onnx_model()), "attempt": None, "report": report, **changes}


def again(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The report of another run."""
    return {**copy.deepcopy(report), "run_id": str(uuid4()), **changes}


def send(device: EnrolledDevice, *reports: Any) -> dict[str, Any]:
    # Dumped here, because the test client cannot send text that is no Unicode, and a device can.
    body = json.dumps({"reports": list(reports)})
    answer = device.api.post("/api/v1/reports", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    recorded: dict[str, Any] = answer.json()
    return recorded


@pytest.mark.usefixtures("line")
def test_real_report_is_stored_whole_with_its_figures_and_once(real_report: dict[str, Any]) -> None:
    device = make_device()
    assert send(device, message(real_report)) == {"accepted": 1, "repeated": 0, "refused": []}
    assert send(device, message(real_report)) == {"accepted": 0, "repeated": 1, "refused": []}
    assert send(device, message(again(real_report)), message(real_report))["accepted"] == 1
    stored = BenchmarkReport.objects.get(pk=real_report["run_id"])
    assert stored.report == json.loads(json.dumps(real_report))
    assert stored.p50_latency_ns == real_report["latency"]["p50"]
    assert stored.validity == real_report["validity"]["state"]
    assert stored.peak_memory_bytes is not None
    assert stored.device_class == "pi5"  # the ruler was not told one
    assert BenchmarkReport.objects.count() == 2


@pytest.mark.usefixtures("line")
def test_run_of_another_device_is_refused(real_report: dict[str, Any]) -> None:
    owner, thief = make_device(), make_device()
    send(owner, message(real_report))
    body = send(thief, message(real_report), message(again(real_report)))
    assert (body["accepted"], len(body["refused"])) == (1, 1)
    assert body["refused"][0]["type"] == "urn:smallfleet:problem:attempt-foreign"
    assert body["refused"][0]["run_id"] == real_report["run_id"]
    assert BenchmarkReport.objects.get(pk=real_report["run_id"]).device == owner.row


@pytest.mark.usefixtures("line")
def test_report_of_a_line_that_the_device_may_not_install_is_refused(real_report: dict[str, Any]) -> None:
    device = make_device()
    Device.objects.filter(pk=device.row.pk).update(allowed_models=["kws"])
    body = send(device, message(real_report))
    assert (body["accepted"], len(body["refused"])) == (0, 1)
    assert "no model line 'digits'" in body["refused"][0]["detail"]
    assert not BenchmarkReport.objects.exists()


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("changes", "inside", "named"),
    [
        ({"model": "unknown"}, {}, "unknown"),
        ({"sha256": sha("unknown")}, {}, "no model"),
        ({}, {"schema": "bench-report/9"}, "/schema"),
        ({}, {"latency": {}}, "/latency"),
        ({}, {"run_id": "7"}, "/run_id"),
        ({}, {"run_id": "\ud800"}, "Unicode"),
        ({}, {"extra": "x" * 300_000}, "at most"),
        ({}, {"extra": "nul\0"}, "NUL"),
        ({}, {"extra": "\ud800"}, "Unicode"),
    ],
)
def test_report_that_can_never_be_taken_is_refused_alone(
    real_report: dict[str, Any], changes: dict[str, Any], inside: dict[str, Any], named: str
) -> None:
    body = send(make_device(), message(again(real_report, **inside), **changes), message(real_report))
    assert (body["accepted"], len(body["refused"])) == (1, 1)
    assert body["refused"][0]["type"] == "urn:smallfleet:problem:event-invalid"
    assert named in body["refused"][0]["detail"]


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("inside", "named"),
    [
        # JSON Schema calls 1.0 an integer; nothing can be counted from there on.
        ({"latency__hist": {"scheme": "ddsketch/0.01", "first": 1.0, "counts": [64]}}, "first"),
        ({"latency__hist": {"scheme": "ddsketch/0.01", "first": 1, "counts": [64.0]}}, "counts"),
        ({"energy": 1e308}, "energy_j"),
        ({"energy": 1e-300}, "energy_j"),
    ],
)
def test_figure_that_cannot_be_reckoned_with_is_refused_alone(
    real_report: dict[str, Any], inside: dict[str, Any], named: str
) -> None:
    if "energy" in inside:
        inside = {"energy": metered(inside["energy"])}
    body = send(make_device(), message(valid(real_report, 100, **inside)), message(valid(real_report, 100)))
    assert (body["accepted"], len(body["refused"])) == (1, 1)
    assert named in body["refused"][0]["detail"]


def metered(joules: float) -> dict[str, Any]:
    """An energy block with this figure."""
    return {
        "method": "ina", "tier": 1, "scope": "board", "source": "ina219:VIN", "j_per_inference_gross": joules,
        "j_per_inference_net": joules, "idle_w": 1.0, "idle_window_s": 1.0, "windows_n": 5, "window_s": 2.0, "median": joules,
        "mad": 0.0, "u_rel_pct": 1.0, "samples_expected": 9, "samples_ok": 9, "counter_wraps": 0, "same_run_as_latency": True,
    }  # fmt: skip


@pytest.mark.usefixtures("line")
def test_report_about_another_model_is_refused(real_report: dict[str, Any]) -> None:
    other = make_variant("2.0.0").artifact
    assert "not about" in send(make_device(), message(real_report, sha256=other.sha256))["refused"][0]["detail"]


@pytest.mark.usefixtures("line")
def test_too_many_reports_are_refused_as_a_whole(real_report: dict[str, Any]) -> None:
    reports = [message(again(real_report)) for _ in range(21)]
    assert make_device().api.post("/api/v1/reports", {"reports": reports}, format="json").status_code == 400
    assert not BenchmarkReport.objects.exists()


@pytest.mark.usefixtures("line")
def test_people_list_and_filter_reports(real_report: dict[str, Any]) -> None:
    device = make_device("gate")
    send(device, message(real_report))
    api = api_as("viewer")
    (shown,) = api.get("/api/v1/reports?model=digits").json()["results"]
    assert (shown["device_name"], shown["run_id"]) == ("gate", real_report["run_id"])
    state = real_report["validity"]["state"]
    assert api.get(f"/api/v1/reports?validity={state}&device={device.row.pk}").json()["count"] == 1
    assert api.get(f"/api/v1/reports?device={uuid4()}").json()["count"] == 0
    assert api.get("/api/v1/reports?validity=excellent").status_code == 400
    assert api.get("/api/v1/reports?device=7").status_code == 400


@pytest.mark.usefixtures("line")
def test_reports_are_listed_by_their_figures_and_shown_whole_one_by_one(real_report: dict[str, Any]) -> None:
    device = make_device("gate")
    send(device, message(real_report))
    api = api_as("viewer")
    (listed,) = api.get("/api/v1/reports?whole=no&limit=1000").json()["results"]
    shown = api.get(f"/api/v1/reports/{real_report['run_id']}").json()
    assert "report" not in listed
    assert {**listed, "report": shown["report"]} == shown
    assert shown["report"] == json.loads(json.dumps(real_report))
    assert (listed["configuration"], listed["threads"]) == ("canonical", 1)
    assert listed["runtime"].startswith("onnxruntime ")
    assert api.get("/api/v1/reports?whole=no").json()["results"][0]["p50_latency_ns"] == listed["p50_latency_ns"]
    assert api.get("/api/v1/reports?whole=perhaps").status_code == 400
    assert api.get(f"/api/v1/reports/{uuid4()}").status_code == 404


@pytest.mark.usefixtures("line")
def test_page_of_whole_reports_is_shorter_than_one_of_figures(real_report: dict[str, Any]) -> None:
    device = make_device()
    for _ in range(6):
        send(device, *(message(again(real_report)) for _ in range(20)))
    api = api_as("viewer")
    whole = api.get("/api/v1/reports?limit=1000").json()
    assert (whole["count"], len(whole["results"])) == (120, MAX_WHOLE_REPORTS)
    assert whole["next"] is not None
    assert len(api.get("/api/v1/reports?limit=1000&whole=no").json()["results"]) == 120


# --- Series ---------------------------------------------------------------------------------------------------------


def changed(report: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Another run whose report has other values, by their path with `__` between: `latency__p50=5`."""
    made = again(report)
    for path, value in values.items():
        *outer, last = path.split("__")
        block = made
        for name in outer:
            block = block.setdefault(name, {})
        block[last] = value
        _forget_reasons(made, "/" + path.replace("__", "/"))
    return made


def _forget_reasons(report: dict[str, Any], pointer: str) -> None:
    """What has a value has no reason for being null."""
    report["reasons"] = {key: why for key, why in report["reasons"].items() if not key.startswith(pointer)}


def valid(report: dict[str, Any], p50_ns: int, **values: Any) -> dict[str, Any]:
    """A valid run of a ruler that ran one process."""
    made = changed(report, validity__state="valid", latency__p50=p50_ns, **values)
    if "replication" not in values:
        made.pop("replication", None)
        _forget_reasons(made, "/replication")
    return made


@pytest.mark.usefixtures("line")
def test_device_stands_with_its_newest_run_that_is_not_invalid(real_report: dict[str, Any], line: ModelLine) -> None:
    first, second = make_device(), make_device()
    send(first, message(valid(real_report, 100)))
    send(second, message(valid(real_report, 300)))
    send(first, message(changed(valid(real_report, 200), validity__state="semivalid")))
    send(second, message(changed(valid(real_report, 7), validity__state="invalid")))
    (figures,) = series_figures(line, actor=SYSTEM)
    latency = figures.latency
    assert latency is not None
    assert (latency.median, latency.lowest, latency.highest, latency.devices) == (200, 200, 300, 2)
    series = figures.series
    assert (series.runs, series.valid_runs, series.semivalid_runs, series.invalid_runs) == (4, 2, 1, 1)


@pytest.mark.usefixtures("line")
def test_invalid_runs_are_counted_and_in_no_figure(real_report: dict[str, Any], line: ModelLine) -> None:
    send(make_device(), message(changed(valid(real_report, 9), validity__state="invalid")))
    (figures,) = series_figures(line, actor=SYSTEM)
    assert (figures.latency, figures.fleet, figures.peak_memory, figures.devices) == (None, None, None, 0)
    assert (figures.series.runs, figures.series.invalid_runs, figures.valid_share) == (1, 1, 0)
    assert BenchmarkReport.objects.count() == 1


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    "other",
    [
        {"runtime__configuration": "device-default"},
        {"runtime__threads": 4},
        {"runtime__version": "9.9.9"},
        {"runtime__providers_requested": ["CUDAExecutionProvider"]},
        {"environment__device_class": "pi4"},
        {"environment__power_mode": "15W"},
    ],
)
def test_runs_under_other_conditions_are_never_in_one_median(
    real_report: dict[str, Any], line: ModelLine, other: dict[str, Any]
) -> None:
    send(make_device(), message(valid(real_report, 100)))
    send(make_device(), message(valid(real_report, 900, **other)))
    both = series_figures(line, actor=SYSTEM)
    assert sorted(figures.latency.median for figures in both if figures.latency) == [100, 900]
    assert all(figures.devices == 1 for figures in both)


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("other", "stands_with"),
    [
        # An update of the runtime, or another board under the same name: what was before is not how the device is.
        ({"runtime__version": "9.9.9"}, [900]),
        ({"runtime__threads": 4}, [900]),
        ({"environment__device_class": "pi4"}, [900]),
        # Of these a device has several at once.
        ({"runtime__configuration": "device-default"}, [100, 900]),
        ({"runtime__providers_requested": ["CUDAExecutionProvider"]}, [100, 900]),
        ({"environment__power_mode": "15W"}, [100, 900]),
    ],
)
def test_device_stands_no_more_for_what_it_was(
    real_report: dict[str, Any], line: ModelLine, other: dict[str, Any], stands_with: list[int]
) -> None:
    device = make_device()
    send(device, message(valid(real_report, 100)), message(valid(real_report, 900, **other)))
    figures = series_figures(line, actor=SYSTEM)
    assert sorted(one.latency.median for one in figures if one.latency) == stands_with
    assert [one.series.runs for one in figures] == [1, 1]


@pytest.mark.usefixtures("line")
def test_revoked_device_is_in_no_figure_of_devices(real_report: dict[str, Any], line: ModelLine) -> None:
    kept, revoked = make_device(), make_device()
    send(kept, message(valid(real_report, 100)))
    send(revoked, message(valid(real_report, 900)))
    Device.objects.filter(pk=revoked.row.pk).update(revoked_at=timezone.now())
    (figures,) = series_figures(line, actor=SYSTEM)
    assert (figures.devices, figures.series.runs) == (1, 2)
    assert figures.latency is not None
    assert figures.latency.highest == 100


@pytest.mark.usefixtures("line")
def test_headline_is_the_median_over_processes(real_report: dict[str, Any], line: ModelLine) -> None:
    replication = {
        "processes": 3, "body": 1, "n": 30, "p50_ns": [90, 100, 400], "p50_median_ns": 100, "p50_ci95": [80, 400], "p50_cv": 0.1,
        "states": ["valid"] * 3, "cpu_share": [1.0] * 3, "cold_start_ms": [1.0] * 3, "page_cache": ["warm"] * 3,
    }  # fmt: skip
    report = valid(real_report, 500, replication=replication)
    assert send(make_device(), message(report))["refused"] == []
    (figures,) = series_figures(line, actor=SYSTEM)
    assert figures.latency is not None
    assert figures.latency.median == 100


@pytest.mark.usefixtures("line")
def test_report_of_a_ruler_before_configurations_is_canonical_where_it_was_pinned(
    real_report: dict[str, Any], line: ModelLine
) -> None:
    old = valid(real_report, 100, runtime__intra_op=1, environment__affinity=[0])
    loose = valid(real_report, 200, runtime__intra_op=1, environment__affinity=[0, 1])
    for report in (old, loose):
        for later in ("configuration", "pinned", "threads"):
            report["runtime"].pop(later, None)
        report["latency"]["hist"] = {"scheme": "log2x8/1", "first": 40, "counts": [report["latency"]["n"]]}
    assert send(make_device(), message(old), message(loose))["refused"] == []
    found = {figures.series.configuration: figures for figures in series_figures(line, actor=SYSTEM)}
    assert set(found) == {"canonical", "custom"}
    assert found["canonical"].latency is not None
    assert found["canonical"].fleet is None  # its buckets cannot be added up


@pytest.mark.usefixtures("line")
def test_fleet_percentiles_come_from_all_inferences_together(real_report: dict[str, Any], line: ModelLine) -> None:
    fast, slow = [1_000_000] * 900, [9_000_000] * 300
    for latencies in (fast, slow):
        report = valid(real_report, latencies[0], latency__hist=histogram_of(latencies))
        send(make_device(), message(report))
    send(make_device(), message(changed(report, validity__state="invalid", latency__hist=histogram_of([10**9] * 5000))))
    (figures,) = series_figures(line, actor=SYSTEM)
    assert figures.fleet is not None
    assert figures.fleet.inferences == 1200
    assert figures.fleet.p50_ns == pytest.approx(1_000_000, rel=0.01)
    assert figures.fleet.p90_ns == pytest.approx(9_000_000, rel=0.01)
    assert figures.fleet.p99_ns == pytest.approx(9_000_000, rel=0.01)


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("inferences", "has_p90", "has_p99"), [(63, False, False), (64, True, False), (662, True, True)]
)
def test_percentile_needs_enough_inferences(
    real_report: dict[str, Any], line: ModelLine, inferences: int, *, has_p90: bool, has_p99: bool
) -> None:
    send(make_device(), message(valid(real_report, 5, latency__hist=histogram_of([5] * inferences))))
    (figures,) = series_figures(line, actor=SYSTEM)
    assert figures.fleet is not None
    assert ((figures.fleet.p90_ns is not None), (figures.fleet.p99_ns is not None)) == (has_p90, has_p99)


@pytest.mark.usefixtures("line")
def test_repeated_report_is_counted_once(real_report: dict[str, Any], line: ModelLine) -> None:
    device, report = make_device(), valid(real_report, 5)
    for _ in range(3):
        send(device, message(report), message(report))
    (figures,) = series_figures(line, actor=SYSTEM)
    assert figures.series.runs == 1
    assert figures.fleet is not None
    assert figures.fleet.inferences == samples_in(report["latency"]["hist"])


@pytest.mark.django_db(transaction=True)
def test_deliveries_of_several_devices_at_once_lose_nothing(real_report: dict[str, Any]) -> None:
    Artifact.objects.create(sha256=digest(onnx_model()), size_bytes=len(onnx_model()), kind="model")
    line = make_variant().version.model_line
    devices = [make_device() for _ in range(4)]

    def deliver(device: EnrolledDevice) -> None:
        for _ in range(3):
            send(
                device, message(valid(real_report, 5)), message(valid(real_report, 6, runtime__configuration="custom"))
            )

    in_threads(*(partial(deliver, device) for device in devices))
    figures = series_figures(line, actor=SYSTEM)
    assert [one.series.runs for one in figures] == [12, 12]
    assert [one.devices for one in figures] == [4, 4]
    each = samples_in(real_report["latency"]["hist"])
    assert [one.fleet.inferences for one in figures if one.fleet] == [12 * each] * 2


@pytest.mark.django_db
def test_median_is_a_device_and_energy_is_of_one_instrument() -> None:
    variant = make_variant()
    line, devices = variant.version.model_line, make_fleet(5, current=variant)
    sources = [("rapl-psys of board", 2, 0.5), ("hwmon of board", 0, 0.1), ("hwmon of board", 0, 0.3)]
    store_runs(
        made_run(device, line, variant.artifact, p50_ns=p50, energy_j=joules, energy_source=source, energy_tier=tier)
        for device, p50, (source, tier, joules) in zip(devices, (100, 200, 90_000), sources, strict=False)
    )
    (figures,) = series_figures(line, actor=SYSTEM)
    assert figures.latency is not None
    assert (figures.latency.median, figures.latency.q1, figures.latency.q3) == (200, 100, 90_000)
    assert figures.energy is not None
    assert (figures.energy.source, figures.energy.joules.median, figures.energy.joules.devices) == (
        "hwmon of board",
        0.1,
        2,
    )


@pytest.mark.django_db
def test_people_read_the_figures_of_every_series() -> None:
    variant = make_variant()
    line, devices = variant.version.model_line, make_fleet(4, current=variant)
    store_runs(
        made_run(device, line, variant.artifact, p50_ns=p50) for device, p50 in zip(devices, (4, 1, 3, 2), strict=True)
    )
    api = api_as("viewer")
    body = api.get("/api/v1/models/digits/benchmarks").json()
    (series,) = body["series"]
    assert (series["sha256"], series["configuration"], series["devices"]) == (variant.artifact.sha256, "canonical", 4)
    assert series["p50_latency_ns"] == {"median": 2, "q1": 1, "q3": 3, "lowest": 1, "highest": 4, "devices": 4}
    assert series["fleet_latency"]["inferences"] >= 700
    assert api.get("/api/v1/models/words/benchmarks").status_code == 404
