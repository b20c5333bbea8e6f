"""Publishing over the wire: idempotent, and conflicts have names."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from registry import queries, services
from registry.errors import ContractMismatch, VersionInvalid
from registry.models import Evaluation, ModelLine, Variant, Version
from tests.factories.people import api_as
from tests.factories.registry import (
    contract_bytes,
    digest,
    make_artifact,
    make_line,
    make_variant,
    make_version,
    onnx_model,
    sample_set,
    withdraw_version,
)
from tests.factories.trust import make_target
from tests.registry.wire import assert_problem, new_signed_line, send, sign_targets, upload

pytestmark = pytest.mark.django_db
WRONG_PORTS = [{"name": "sound", "dtype": "float32", "shape": ["N", 4]}]
EVALUATION = {
    "metric": "accuracy",
    "value": 0.98,
    "sample_count": 600,
    "dataset_sha256": "a" * 64,
    "ci_low": 0.97,
    "ci_high": 0.99,
}


def test_model_line_is_created_once(publisher: APIClient) -> None:
    wish = {"name": "digits", "title": "Digits"}
    assert send(publisher, "POST", "/models", wish).status_code == 201
    assert send(publisher, "POST", "/models", wish).status_code == 200
    assert send(publisher, "POST", "/models", {"name": "digits"}).status_code == 200
    assert_problem(send(publisher, "POST", "/models", {"name": "digits", "title": "Other"}), 409, "name-taken")
    assert AuditRecord.objects.filter(action="create_model_line").count() == 1


@pytest.mark.parametrize("name", ["", "Digits", "../x", "a/b", "-a", "x" * 65, "a b"])
def test_model_line_with_a_name_that_is_no_name_is_refused(publisher: APIClient, name: str) -> None:
    assert_problem(send(publisher, "POST", "/models", {"name": name}), 400, "invalid-input")


def test_whole_path_from_upload_to_published(publisher: APIClient, viewer: APIClient) -> None:
    model, contract, samples = onnx_model(), contract_bytes(), sample_set()
    for kind, content in (("model", model), ("contract", contract), ("sample-set", samples)):
        assert upload(publisher, content, kind).status_code == 201
    send(publisher, "POST", "/models", {"name": "digits"})
    wish = {"contract_sha256": digest(contract), "sample_set_sha256": digest(samples)}
    assert send(publisher, "PUT", "/models/digits/versions/1.0.0", wish).status_code == 201
    variant = {
        "sha256": digest(model),
        "tolerances": {"atol": 0.001, "rtol": 0.001, "min_agreement": None},
        "evaluations": [EVALUATION],
    }
    assert send(publisher, "PUT", "/models/digits/versions/1.0.0/variants/fp32", variant).status_code == 201
    refused = send(publisher, "POST", "/models/digits/versions/1.0.0/publish")
    assert "sign it first" in assert_problem(refused, 409, "not-signed")["detail"]
    target = make_target(
        "digits",
        "1.0.0",
        "fp32",
        model,
        contract=contract,
        sample_set=samples,
        tolerances={"atol": "0.001", "rtol": "1e-3"},
    )
    assert sign_targets(publisher, new_signed_line(publisher), target).status_code == 201
    assert send(publisher, "POST", "/models/digits/versions/1.0.0/publish").status_code == 200

    shown = send(viewer, "GET", "/models/digits/versions/1.0.0").json()
    assert (shown["model"], shown["version"], shown["state"]) == ("digits", "1.0.0", "published")
    assert shown["sample_set"] == {"sha256": digest(samples), "size_bytes": len(samples)}
    (fp32,) = shown["variants"]
    assert (fp32["name"], fp32["sha256"], fp32["size_bytes"]) == ("fp32", digest(model), len(model))
    assert fp32["tolerances"] == {"atol": 0.001, "rtol": 0.001, "min_agreement": None}
    assert fp32["evaluations"][0]["value"] == 0.98
    assert send(viewer, "GET", "/models").json()["results"][0]["latest_version"] == "1.0.0"


def test_version_is_created_once(publisher: APIClient) -> None:
    make_line()
    first, second = (make_artifact(contract_bytes(note=note), "contract") for note in ("a", "b"))
    address = "/models/digits/versions/1.0.0"
    assert send(publisher, "PUT", address, {"contract_sha256": first.sha256}).status_code == 201
    assert send(publisher, "PUT", address, {"contract_sha256": first.sha256}).status_code == 200
    model = make_artifact(onnx_model(), "model")
    assert send(publisher, "PUT", f"{address}/variants/fp32", {"sha256": model.sha256}).status_code == 201
    assert_problem(send(publisher, "PUT", address, {"contract_sha256": second.sha256}), 409, "version-differs")


def test_draft_that_was_refused_its_variant_takes_the_corrected_contract(publisher: APIClient) -> None:
    make_line()
    model = make_artifact(onnx_model(), "model")
    wrong, right = (make_artifact(contract_bytes(**change), "contract") for change in ({"inputs": WRONG_PORTS}, {}))
    address = "/models/digits/versions/1.0.0"
    assert send(publisher, "PUT", address, {"contract_sha256": wrong.sha256}).status_code == 201
    variant = {"sha256": model.sha256}
    assert_problem(send(publisher, "PUT", f"{address}/variants/fp32", variant), 422, "contract-mismatch")

    corrected = send(publisher, "PUT", address, {"contract_sha256": right.sha256})
    assert (corrected.status_code, corrected.json()["contract"]["sha256"]) == (200, right.sha256)
    assert send(publisher, "PUT", f"{address}/variants/fp32", variant).status_code == 201
    assert AuditRecord.objects.filter(action="correct_version").count() == 1


def test_published_or_yanked_version_keeps_its_contract(publisher: APIClient) -> None:
    variant = make_variant(make_version(make_line()))
    other = make_artifact(contract_bytes(note="another"), "contract")
    address = f"/models/{variant.version.model_line.name}/versions/{variant.version.version}"
    for change in (
        partial(services.publish_version, actor=SYSTEM, version=variant.version),
        partial(withdraw_version, variant.version),
    ):
        change()
        assert_problem(send(publisher, "PUT", address, {"contract_sha256": other.sha256}), 409, "version-differs")


@pytest.mark.parametrize(
    "version",
    ["1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest", "1.0.0-", "1.0.0-rc..1", "\u0661.0.0", "1" * 99 + ".0.0"],
)
def test_version_that_is_no_semantic_version_is_refused_and_nothing_changes(publisher: APIClient, version: str) -> None:
    make_line()
    contract = make_artifact(contract_bytes(), "contract")
    response = send(publisher, "PUT", f"/models/digits/versions/{version}", {"contract_sha256": contract.sha256})
    assert_problem(response, 400, "version-invalid")
    assert not Version.objects.exists()


def test_semantic_versions_with_all_their_parts_are_taken() -> None:
    for version in ("0.0.0", "1.2.3-rc.1+build.5", "2.0.0-alpha-beta"):
        services.check_version(version)
    with pytest.raises(VersionInvalid):
        services.check_version("1.2.3 ")


def test_version_of_an_unknown_line_or_contract_is_refused(publisher: APIClient) -> None:
    contract = make_artifact(contract_bytes(), "contract")
    wish = {"contract_sha256": contract.sha256}
    assert_problem(send(publisher, "PUT", "/models/digits/versions/1.0.0", wish), 404, "not-found")
    make_line()
    model = make_artifact(onnx_model())
    for sha256 in ("f" * 64, model.sha256):
        response = send(publisher, "PUT", "/models/digits/versions/1.0.0", {"contract_sha256": sha256})
        assert_problem(response, 422, "artifact-unknown")


def test_version_with_a_sample_set_of_another_contract_is_refused(publisher: APIClient) -> None:
    make_line()
    contract = make_artifact(contract_bytes(), "contract")
    samples = make_artifact(sample_set(more={"input:other": np.zeros((5, 1))}), "sample-set")
    wish = {"contract_sha256": contract.sha256, "sample_set_sha256": samples.sha256}
    body = assert_problem(send(publisher, "PUT", "/models/digits/versions/1.0.0", wish), 422, "contract-mismatch")
    assert "other" in body["detail"]
    assert not Version.objects.exists()


def _variant_address(version: Version, name: str = "fp32") -> str:
    return f"/models/{version.model_line.name}/versions/{version.version}/variants/{name}"


def test_variant_is_added_once(publisher: APIClient) -> None:
    version = make_version(make_line())
    first, second = make_artifact(onnx_model(1)), make_artifact(onnx_model(2))
    address = _variant_address(version)
    assert send(publisher, "PUT", address, {"sha256": first.sha256}).status_code == 201
    assert send(publisher, "PUT", address, {"sha256": first.sha256}).status_code == 200
    assert_problem(send(publisher, "PUT", address, {"sha256": second.sha256}), 409, "variant-differs")
    unset = {"sha256": first.sha256, "tolerances": {"atol": None}}
    assert send(publisher, "PUT", address, unset).status_code == 200
    tolerances = {"sha256": first.sha256, "tolerances": {"atol": 1.0}}
    assert_problem(send(publisher, "PUT", address, tolerances), 409, "variant-differs")
    assert_problem(
        send(publisher, "PUT", _variant_address(version, "other"), {"sha256": first.sha256}), 409, "variant-differs"
    )


def test_variant_that_breaks_the_contract_is_refused(publisher: APIClient) -> None:
    version = make_version(make_line())
    model = onnx_model(1, outputs=5)
    upload(publisher, model)
    body = assert_problem(
        send(publisher, "PUT", _variant_address(version), {"sha256": digest(model)}), 422, "contract-mismatch"
    )
    assert "logits" in body["detail"]


def test_variant_of_a_digest_that_is_no_model_is_refused(publisher: APIClient) -> None:
    version = make_version(make_line())
    for sha256 in ("f" * 64, version.contract.sha256):
        assert_problem(send(publisher, "PUT", _variant_address(version), {"sha256": sha256}), 422, "artifact-unknown")


def test_file_that_was_uploaded_as_another_kind_is_named(publisher: APIClient) -> None:
    version = make_version(make_line())
    body = assert_problem(
        send(publisher, "PUT", _variant_address(version), {"sha256": version.contract.sha256}), 422, "artifact-unknown"
    )
    assert "expected a model" in body["detail"]
    assert "was uploaded as a contract" in body["detail"]


@pytest.mark.parametrize("name", ["atol", "rtol", "min_agreement"])
def test_tolerance_that_is_no_number_is_refused(publisher: APIClient, name: str) -> None:
    wish = {"sha256": make_artifact(onnx_model()).sha256, "tolerances": {name: "nan"}}
    answer = send(publisher, "PUT", _variant_address(make_version(make_line())), wish)
    assert_problem(answer, 400, "invalid-input")


def test_published_version_may_gain_variants(publisher: APIClient) -> None:
    version = make_version(make_line(), publish=True)
    more = make_artifact(onnx_model(99))
    assert send(publisher, "PUT", _variant_address(version, "int8"), {"sha256": more.sha256}).status_code == 201


def test_yanked_version_takes_no_variants_and_stays_yanked(publisher: APIClient) -> None:
    version = make_version(make_line(), publish=True)
    address = f"/models/digits/versions/{version.version}"
    refused = send(publisher, "POST", f"{address}/yank", {"reason": "drifts"})
    assert "signed as fp32" in assert_problem(refused, 409, "still-signed")["detail"]
    Variant.objects.update(is_live=False)
    assert send(publisher, "POST", f"{address}/yank", {"reason": "drifts"}).json()["state"] == "yanked"
    again = send(publisher, "POST", f"{address}/yank", {"reason": "another"})
    assert (again.status_code, again.json()["yank_reason"]) == (200, "drifts")
    more = make_artifact(onnx_model(99))
    assert_problem(
        send(publisher, "PUT", _variant_address(version, "int8"), {"sha256": more.sha256}), 409, "version-yanked"
    )
    assert_problem(send(publisher, "POST", f"{address}/publish"), 409, "version-yanked")
    assert AuditRecord.objects.filter(action="yank_version").count() == 1


def test_publishing_again_is_harmless_and_an_empty_version_is_not_published(publisher: APIClient) -> None:
    version = make_version(make_line())
    address = f"/models/digits/versions/{version.version}/publish"
    assert_problem(send(publisher, "POST", address), 409, "version-empty")
    make_variant(version)
    first = send(publisher, "POST", address).json()
    second = send(publisher, "POST", address)
    assert (second.status_code, second.json()["published_at"]) == (200, first["published_at"])
    assert AuditRecord.objects.filter(action="publish_version").count() == 1


def test_evaluation_is_added_once(publisher: APIClient) -> None:
    variant = make_variant(make_version(make_line()))
    address = f"{_variant_address(variant.version)}/evaluations"
    assert send(publisher, "POST", address, EVALUATION).status_code == 201
    assert send(publisher, "POST", address, EVALUATION).status_code == 200
    other = {**EVALUATION, "value": 0.975}
    assert_problem(send(publisher, "POST", address, other), 409, "evaluation-differs")
    assert send(publisher, "POST", address, {**other, "measured_by": "auditor"}).status_code == 201
    assert Evaluation.objects.count() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"ci_low": 0.99},
        {"ci_high": None},
        {"sample_count": 0},
        {"dataset_sha256": "abc"},
        {"metric": "Top 1"},
        {"value": "high"},
        {"value": float("nan")},
        {"metric": "perplexity", "value": "nan", "ci_low": None, "ci_high": None},
        {"metric": "perplexity", "value": "inf", "ci_low": None, "ci_high": None},
    ],
)
def test_evaluation_that_makes_no_sense_is_refused(publisher: APIClient, changes: dict[str, Any]) -> None:
    variant = make_variant(make_version(make_line()))
    address = f"{_variant_address(variant.version)}/evaluations"
    assert_problem(send(publisher, "POST", address, {**EVALUATION, **changes}), 400, "invalid-input")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"value": 7.5, "ci_low": None, "ci_high": None}, "value", "for 7.5 % send 0.075"),
        ({"value": 98, "ci_low": 0.97, "ci_high": 99}, "ci_high", "for 99 % send 0.99"),
        ({"value": -0.1, "ci_low": None, "ci_high": None}, "value", "from 0 to 1, and not -0.1"),
        ({"ci_low": -0.01}, "ci_low", "from 0 to 1"),
        ({"metric": "macro_f1", "value": 97.5, "ci_low": None, "ci_high": None}, "value", "send 0.975"),
        ({"metric": "top1-error", "value": 2, "ci_low": None, "ci_high": None}, "value", "send 0.02"),
    ],
)
def test_share_beyond_0_to_1_is_refused_with_the_share(
    publisher: APIClient, changes: dict[str, Any], field: str, said: str
) -> None:
    variant = make_variant(make_version(make_line()))
    answer = send(publisher, "POST", f"{_variant_address(variant.version)}/evaluations", {**EVALUATION, **changes})
    assert_problem(answer, 400, "invalid-input")
    messages = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert said in messages[field]


@pytest.mark.parametrize(("metric", "value"), [("accuracy", 1), ("accuracy", 0), ("perplexity", 7.5), ("error", 2.5)])
def test_value_within_what_its_metric_allows_is_accepted(publisher: APIClient, metric: str, value: float) -> None:
    variant = make_variant(make_version(make_line()))
    wish = {**EVALUATION, "metric": metric, "value": value, "ci_low": None, "ci_high": None}
    assert send(publisher, "POST", f"{_variant_address(variant.version)}/evaluations", wish).status_code == 201


def test_versions_are_sorted_by_precedence_not_by_letters(viewer: APIClient) -> None:
    line = make_line()
    for version in ("1.2.0", "1.10.0", "1.10.0-rc.2", "1.10.0-rc.10", "0.9.0"):
        make_version(line, version, publish=version != "1.10.0")
    shown = [version["version"] for version in send(viewer, "GET", "/models/digits").json()["versions"]]
    assert shown == ["1.10.0", "1.10.0-rc.10", "1.10.0-rc.2", "1.2.0", "0.9.0"]
    assert (
        queries.summaries([line])[0].latest_version == "1.2.0"
    )  # 1.10.0 is a draft, and its release candidates are no releases


def test_line_of_pre_releases_alone_has_the_highest_as_its_latest(db: None) -> None:
    line = make_line()
    for version in ("1.0.0-rc.1", "1.0.0-rc.2"):
        make_version(line, version, publish=True)
    assert queries.summaries([line])[0].latest_version == "1.0.0-rc.2"


def test_every_route_of_publishing_is_closed_to_who_may_not(viewer: APIClient) -> None:
    version = make_version(make_line(), publish=True)
    base = f"/models/digits/versions/{version.version}"
    writes = [
        ("POST", "/models"), ("PUT", base), ("PUT", f"{base}/variants/x"), ("POST", f"{base}/variants/fp32/evaluations"),
        ("POST", f"{base}/publish"), ("POST", f"{base}/yank"),
    ]  # fmt: skip
    reads = [("GET", "/models"), ("GET", "/models/digits"), ("GET", base), ("GET", "/models/digits/deltas")]
    for method, path in writes:
        assert_problem(send(viewer, method, path, {}), 403, "permission-refused")
    for method, path in [*writes, *reads]:
        assert_problem(send(APIClient(), method, path, {}), 401, "unauthenticated")
    for method, path in reads:
        assert send(viewer, method, path).status_code == 200


def test_unknown_things_are_404(viewer: APIClient) -> None:
    for path in (
        "/models/none",
        "/models/none/deltas",
        "/models/none/versions/1.0.0",
        f"/artifacts/sha256/{'0' * 64}",
        "/artifacts/sha256/x",
    ):
        assert_problem(send(viewer, "GET", path), 404, "not-found")
    assert_problem(send(api_as("publisher"), "POST", "/models/none/versions/1.0.0/publish"), 404, "not-found")


def test_list_of_models_takes_two_queries_however_long(viewer: APIClient, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        make_version(make_line(f"line-{number}"), publish=False)
    with django_assert_max_num_queries(8):
        assert send(viewer, "GET", "/models").json()["count"] == 5
    with django_assert_max_num_queries(2):
        queries.summaries(list(ModelLine.objects.all()))


def test_audit_names_who_wrote(db: None) -> None:
    services.create_model_line(actor=SYSTEM, name="digits")
    assert AuditRecord.objects.get().actor == "system"


def test_variant_is_held_to_a_contract_that_was_corrected_meanwhile() -> None:
    version = make_version(make_line())
    seen_before = Version.objects.select_related("contract").get(pk=version.pk)
    wrong = make_artifact(contract_bytes(outputs=7), "contract")
    services.create_version(
        actor=SYSTEM, model_line=version.model_line, version=version.version, contract_sha256=wrong.sha256
    )
    with pytest.raises(ContractMismatch):
        make_variant(seen_before)
