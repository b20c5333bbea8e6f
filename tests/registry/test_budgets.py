"""Limits of a model line: what each means against a figure, who sets them, and what they refuse at publishing."""

import json
from typing import Any

import pytest

from access.actors import SYSTEM
from access.models import AuditRecord, Role
from registry import services
from registry.budgets import (
    Check,
    Evaluated,
    Limit,
    Quantity,
    StaticFacts,
    Verdict,
    bound_text,
    check_static,
    parse_limits,
    value_text,
    worst,
)
from registry.models import Budget, ModelLine, Variant, Version
from tests.factories.fleet import make_variant
from tests.factories.people import api_as
from tests.factories.registry import make_artifact as make_stored_artifact
from tests.factories.registry import make_line, make_version, onnx_model
from tests.factories.registry import make_variant as make_stored_variant
from tests.registry.wire import assert_problem, send

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
ON_CHIP = {"param_and_activation_bytes": {"at_most": 8192 * 1024}}
# SqueezeNet and its int8 form by the benchmark method, 3.3: 10,988 and 2,747 KiB.
FP32 = {"param_bytes": 4_940_000, "peak_activation_bytes": 6_311_712}
INT8 = {"param_bytes": 1_235_000, "peak_activation_bytes": 1_577_928}


def facts(cost: dict[str, Any] | None = None, *evaluations: Evaluated, size_bytes: int = 5000) -> StaticFacts:
    return StaticFacts(size_bytes, cost, evaluations)


def top5(value: float, n: int = 1000, dataset: str = "d" * 64) -> Evaluated:
    return Evaluated("top5-error", value, n, dataset)


@pytest.mark.parametrize(
    ("limits", "known", "verdict", "meets_wanted"),
    [
        (ON_CHIP, facts(FP32), FAIL, None),
        (ON_CHIP, facts(INT8), PASS, None),
        (ON_CHIP, facts(None), UNKNOWN, None),
        (ON_CHIP, facts({"param_bytes": 5, "peak_activation_bytes": None}), UNKNOWN, None),
        # The parameters alone are too many, whatever the activations are.
        (ON_CHIP, facts({"param_bytes": 9 * 2**20, "peak_activation_bytes": None}), FAIL, None),
        ({"file_size_bytes": {"at_most": 5000}}, facts(), PASS, None),
        ({"file_size_bytes": {"at_most": 4999}}, facts(), FAIL, None),
        ({"file_size_bytes": {"at_most": 6000, "wanted": 4000}}, facts(), PASS, False),
        ({"file_size_bytes": {"at_most": 6000, "wanted": 5000}}, facts(), PASS, True),
        ({"file_size_bytes": {"wanted": 4000}}, facts(), PASS, False),
        ({"quality": {"metric": "top5-error", "at_most": 0.2}}, facts(None, top5(0.2)), PASS, None),
        ({"quality": {"metric": "top5-error", "at_most": 0.2}}, facts(None, top5(0.21)), FAIL, None),
        ({"quality": {"metric": "top5-error", "at_most": 0.2}}, facts(), UNKNOWN, None),
        ({"quality": {"metric": "accuracy", "at_least": 0.9}}, facts(None, Evaluated("accuracy", 0.89, 9)), FAIL, None),
        # Of several evaluations the one with the most samples.
        ({"quality": {"metric": "top5-error", "at_most": 0.2}}, facts(None, top5(0.5, 10), top5(0.1, 99)), PASS, None),
        (
            {"quality": {"metric": "top5-error", "at_most": 0.2, "dataset_sha256": "e" * 64}},
            facts(None, top5(0.1), top5(0.3, 5, "e" * 64)),
            FAIL,
            None,
        ),
        (
            {"quality": {"metric": "top5-error", "at_most": 0.2, "dataset_sha256": "f" * 64}},
            facts(None, top5(0.1)),
            UNKNOWN,
            None,
        ),
    ],
)
def test_limit_against_what_the_file_says(
    limits: dict[str, Any], known: StaticFacts, verdict: Verdict, *, meets_wanted: bool | None
) -> None:
    (check,) = check_static(parse_limits(limits), known)
    assert (check.verdict, check.meets_wanted) == (verdict, meets_wanted)
    assert bool(check.detail) or check.verdict is not UNKNOWN
    assert not check.by_devices


def test_measured_limits_are_not_decided_by_the_file() -> None:
    limits = {"fps": {"at_least": 15}, "energy_j": {"at_most": 2}, "peak_memory_bytes": {"at_most": 1}}
    assert check_static(parse_limits(limits), facts(FP32)) == []


@pytest.mark.parametrize(
    ("verdicts", "of_all"),
    [([], PASS), ([PASS], PASS), ([PASS, UNKNOWN], UNKNOWN), ([UNKNOWN, FAIL, PASS], FAIL)],
)
def test_worst_verdict_stands_for_all(verdicts: list[Verdict], of_all: Verdict) -> None:
    limit = Limit(Quantity.FPS, at_least=True, required=15)
    assert worst(Check(limit, verdict) for verdict in verdicts) is of_all


@pytest.mark.parametrize(
    ("limits", "words", "value", "shown"),
    [
        (ON_CHIP, "at most 8,192 KiB", 11_251_712, "10,988 KiB"),
        ({"fps": {"at_least": 15, "wanted": 30}}, "at least 15 FPS, wanted 30 FPS", 1234.5, "1,234 FPS"),
        ({"energy_j": {"at_most": 2}}, "at most 2 J", 0.01234, "0.0123 J"),
        ({"quality": {"metric": "top1", "at_least": 0.8}}, "at least 0.8", None, "\u2013"),
        ({"file_size_bytes": {"wanted": 500}}, "wanted 500 B", 512, "512 B"),
        # Not 10 KiB, which would allow more.
        ({"file_size_bytes": {"at_most": 10_000}}, "at most 10,000 B", 10_001, "10,001 B"),
    ],
)
def test_limits_and_figures_are_written_with_their_units(
    limits: dict[str, Any], words: str, value: float | None, shown: str
) -> None:
    (limit,) = parse_limits(limits)
    assert bound_text(limit) == words
    assert value_text(limit, value) == shown


@pytest.mark.parametrize(
    ("limits", "value", "shown"),
    [
        (ON_CHIP, 8192 * 1024 + 1, "8,388,609 B"),
        (ON_CHIP, 8192 * 1024, "8,192 KiB"),
        ({"fps": {"at_least": 15}}, 14.9951, "14.9951 FPS"),
        ({"energy_j": {"at_most": 2}}, 2.0004, "2.0004 J"),
    ],
)
def test_figure_beside_its_limit_is_never_shown_as_the_limit(limits: dict[str, Any], value: float, shown: str) -> None:
    (limit,) = parse_limits(limits)
    assert value_text(limit, value) == shown


# --- Setting them ---------------------------------------------------------------------------------------------------

PAPER = {
    "configuration": "canonical",
    "limits": {
        "param_and_activation_bytes": {"at_most": 8192 * 1024},
        "quality": {"metric": "top5-error", "at_most": 0.2},
        "fps": {"at_least": 15, "wanted": 30},
        "energy_j": {"at_most": 2},
    },
}


@pytest.fixture
def line(db: None) -> ModelLine:
    return make_variant(state=Version.State.DRAFT, is_live=True).version.model_line


@pytest.mark.usefixtures("line")
def test_budget_of_the_paper_is_set_and_read() -> None:
    api = api_as(Role.ADMIN)
    empty = api.get("/api/v1/models/digits/budget").json()
    assert empty == {"model": "digits", "configuration": "canonical", "limits": {}, "changed_at": None}
    put = api.put("/api/v1/models/digits/budget", PAPER, format="json")
    assert put.status_code == 200, put.content
    read = api.get("/api/v1/models/digits/budget").json()
    assert read["limits"]["fps"] == {"at_least": 15, "at_most": None, "wanted": 30}
    assert read["limits"]["quality"]["metric"] == "top5-error"
    assert set(read["limits"]) == set(PAPER["limits"])
    again = api.put("/api/v1/models/digits/budget", read, format="json")
    assert again.json() == read
    (audit,) = AuditRecord.objects.filter(action="set_budget")
    assert audit.subject == "digits"


@pytest.mark.usefixtures("line")
def test_budget_is_replaced_whole_and_the_audit_has_both() -> None:
    api = api_as(Role.ADMIN)
    api.put("/api/v1/models/digits/budget", PAPER, format="json")
    wish = {"configuration": "device-default", "limits": {"fps": {"at_least": 5}}}
    assert set(api.put("/api/v1/models/digits/budget", wish, format="json").json()["limits"]) == {"fps"}
    last = AuditRecord.objects.filter(action="set_budget").latest("pk")
    assert last.before["limits"]["energy_j"] == {"at_most": "2.0"}
    assert last.after["configuration"] == "device-default"
    assert api.put("/api/v1/models/digits/budget", {"limits": {}}, format="json").json()["limits"] == {}


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("role", [Role.VIEWER, Role.PUBLISHER, Role.OPERATOR])
def test_who_publishes_or_operates_reads_the_budget_and_does_not_set_it(role: Role) -> None:
    api = api_as(role)
    assert api.get("/api/v1/models/digits/budget").status_code == 200
    assert api.put("/api/v1/models/digits/budget", PAPER, format="json").status_code == 403
    assert not Budget.objects.exists()


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"fps": {"at_most": 5}}, "at_least"),
        ({"energy_j": {"at_least": 5}}, "at_most"),
        ({"fps": {}}, "empty"),
        ({"fps": {"at_least": 15, "wanted": 10}}, "weaker"),
        ({"energy_j": {"at_most": 2, "wanted": 3}}, "weaker"),
        ({"energy_j": {"at_most": -1}}, "greater"),
        ({"energy_j": {"at_most": "nan"}}, "number"),
        ({"energy_j": {"at_most": float("inf")}}, "beyond a double"),
        ({"energy_j": {"at_most": "much"}}, "number"),
        ({"quality": {"at_least": 0.5}}, "required"),
        ({"quality": {"metric": "top1", "wanted": 0.5}}, "at_least or at_most"),
        ({"quality": {"metric": "top1", "at_least": 0.5, "at_most": 0.6}}, "not both"),
        ({"frames_per_second": {"at_least": 5}}, "no such quantity"),
        ({"fps": {"at_least": 15, "wnated": 30}}, "no such key of a limit"),
    ],
)
def test_limit_that_cannot_be_meant_is_refused(limits: dict[str, Any], named: str) -> None:
    body = json.dumps({"limits": limits}).replace("Infinity", "1e999")
    answer = api_as(Role.ADMIN).put("/api/v1/models/digits/budget", body, content_type="application/json")
    assert answer.status_code == 400
    assert named in answer.content.decode()
    assert not Budget.objects.exists()


def test_budget_of_an_unknown_line_is_not_found(db: None) -> None:
    api = api_as(Role.ADMIN)
    assert api.get("/api/v1/models/digits/budget").status_code == 404
    assert api.put("/api/v1/models/digits/budget", PAPER, format="json").status_code == 404


# --- Publishing -----------------------------------------------------------------------------------------------------

PUBLISH = "/api/v1/models/digits/versions/1.0.0/publish"


def limit_file_size(line: ModelLine, at_most: float) -> None:
    services.set_budget(
        actor=SYSTEM, model_line=line, limits={"file_size_bytes": {"at_most": at_most}}, configuration="canonical"
    )


def test_draft_that_breaks_a_required_limit_is_not_published(line: ModelLine) -> None:
    limit_file_size(line, 100_000)
    make_variant("1.0.0", "int8", size_bytes=90_000)
    refused = api_as(Role.PUBLISHER).post(PUBLISH)
    assert refused.status_code == 409
    body = refused.json()
    assert body["type"] == "urn:smallfleet:problem:over-budget"
    assert body["errors"] == [{"field": "fp32.file_size_bytes", "message": "879 KiB; at most 100,000 B"}]
    assert Version.objects.get().state == Version.State.DRAFT


def test_limit_that_is_broken_knowingly_is_published_and_written_down(line: ModelLine) -> None:
    limit_file_size(line, 100_000)
    published = api_as(Role.PUBLISHER).post(PUBLISH, {"accept_over_budget": True}, format="json")
    assert (published.status_code, published.json()["state"]) == (200, "published")
    audit = AuditRecord.objects.get(action="accept_over_budget")
    assert audit.detail["broken"][0]["field"] == "fp32.file_size_bytes"


@pytest.mark.parametrize(
    "limits",
    [
        {"file_size_bytes": {"at_most": 900_000}},
        {"file_size_bytes": {"wanted": 1}},
        {"quality": {"metric": "accuracy", "at_least": 0.99}},  # nobody evaluated it yet
        {"fps": {"at_least": 1e6}},  # for devices to say
    ],
)
def test_what_is_kept_wanted_or_unknown_does_not_refuse(line: ModelLine, limits: dict[str, Any]) -> None:
    services.set_budget(actor=SYSTEM, model_line=line, limits=limits, configuration="canonical")
    assert api_as(Role.PUBLISHER).post(PUBLISH).status_code == 200
    assert not AuditRecord.objects.filter(action="accept_over_budget").exists()


def test_published_version_stays_so_under_new_limits(line: ModelLine) -> None:
    api = api_as(Role.PUBLISHER)
    assert api.post(PUBLISH).status_code == 200
    limit_file_size(line, 1)
    assert api.post(PUBLISH).status_code == 200
    assert Version.objects.get().state == Version.State.PUBLISHED


def test_new_variant_of_a_published_version_keeps_the_budget_too(db: None) -> None:
    small, large = onnx_model(), onnx_model(width=400)
    variant = make_stored_variant(make_version(make_line()))
    line, version = variant.version.model_line, variant.version
    services.publish_version(actor=SYSTEM, version=version)
    limit_file_size(line, len(small) + 100)
    address = f"/models/{line.name}/versions/{version.version}/variants/wide"
    api = api_as(Role.PUBLISHER)
    wish = {"sha256": make_stored_artifact(large, "model").sha256}
    assert_problem(send(api, "PUT", address, wish), 409, "over-budget")
    assert not Variant.objects.filter(name="wide").exists()
    assert send(api, "PUT", address, {**wish, "accept_over_budget": True}).status_code == 201
    assert send(api, "PUT", address, wish).status_code == 200  # it is there already
    assert AuditRecord.objects.filter(action="accept_over_budget").count() == 1
