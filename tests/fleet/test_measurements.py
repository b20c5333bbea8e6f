"""Benchmark reports: real ones by the ruler, each once, and what is read out of many."""

import copy
import json
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.runner import run_benchmark
from fleet.devices.models import Device
from fleet.measurements.models import BenchmarkReport
from fleet.measurements.queries import latency_by_artifact
from registry.models import Artifact, ModelLine
from tests.factories.fleet import EnrolledDevice, make_device, make_fleet, make_variant, sha
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


def make_report(
    device: Device, artifact: Artifact, line: ModelLine, p50: int | None, validity: str, *, of: str = "pi5"
) -> None:
    BenchmarkReport.objects.create(
        device=device,
        model_line=line,
        artifact=artifact,
        device_class=of,
        schema="bench-report/1",
        validity=validity,
        p50_latency_ns=p50,
        report={},
    )


@pytest.mark.django_db
def test_latency_is_the_median_device_and_never_a_mean() -> None:
    variant = make_variant()
    line, artifact = variant.version.model_line, variant.artifact
    devices = make_fleet(3, current=variant)
    for device, p50 in zip(devices, (100, 200, 90_000), strict=True):
        make_report(device, artifact, line, p50, "valid")
    make_report(devices[0], artifact, line, 120, "semivalid")  # newer than its 100
    make_report(devices[1], artifact, line, 7, "invalid")
    make_report(devices[1], artifact, line, 50, "valid", of="pi4")
    figures = latency_by_artifact(line)
    assert set(figures) == {(artifact.pk, "pi5"), (artifact.pk, "pi4")}
    pi5 = figures[artifact.pk, "pi5"]
    assert (pi5.median_p50_ns, pi5.devices, pi5.reports, pi5.valid_share) == (200, 3, 5, 0.6)


@pytest.mark.django_db
def test_invalid_runs_alone_give_no_latency() -> None:
    variant = make_variant()
    make_report(make_fleet(1, current=variant)[0], variant.artifact, variant.version.model_line, 9, "invalid")
    (figure,) = latency_by_artifact(variant.version.model_line).values()
    assert (figure.median_p50_ns, figure.devices, figure.valid_share) == (None, 0, 0)
