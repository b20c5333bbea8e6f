"""Studies over the wire: stored as they are said, replaced as a whole, and nothing that is none."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from registry.documents import MAX_STUDY_BYTES
from registry.models import Study
from registry.services import yank_version
from registry.studies.queries import variants_of_digests
from tests.factories.people import api_as
from tests.factories.registry import make_line, make_variant, make_version, onnx_model
from tests.factories.studies import make_study, study_document, study_point
from tests.registry.wire import assert_problem, send

pytestmark = pytest.mark.django_db
ADDRESS = "/models/digits/studies/widths"


@pytest.fixture(autouse=True)
def line(db: None) -> Any:
    return make_line()


def test_study_comes_back_as_it_was_said_and_is_listed(publisher: APIClient, viewer: APIClient) -> None:
    document = study_document(points=20, note="kept, though nobody knows it")
    made = send(publisher, "PUT", ADDRESS, document)
    assert made.status_code == 201
    assert made.json()["point_count"] == 20
    shown = send(viewer, "GET", ADDRESS).json()
    assert shown["document"] == document
    listed = send(viewer, "GET", "/models/digits/studies").json()
    assert listed["count"] == 1
    assert listed["results"] == [{key: value for key, value in shown.items() if key != "document"}]
    assert (shown["model"], shown["name"]) == ("digits", "widths")


def test_later_run_takes_the_place_of_the_earlier_and_the_same_again_changes_nothing(publisher: APIClient) -> None:
    assert send(publisher, "PUT", ADDRESS, study_document(points=3)).status_code == 201
    first = Study.objects.get()
    assert send(publisher, "PUT", ADDRESS, study_document(points=3)).status_code == 200
    assert Study.objects.get().changed_at == first.changed_at
    assert send(publisher, "PUT", ADDRESS, study_document(points=5)).status_code == 200
    assert Study.objects.get().point_count == 5
    records = AuditRecord.objects.filter(action="put_study").order_by("pk")
    assert [record.subject for record in records] == ["digits/studies/widths"] * 2
    assert records[0].before is None
    assert records[1].before == records[0].after
    assert records[1].after is not None
    assert records[1].after["points"] == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema": "smallfleet-study/2"}, "schema"),
        ({"points": None}, "points"),
        ({"points": [study_point(0), study_point(1, state="lost")]}, "points.1.state"),
        ({"points": [study_point(0, metrics={"accuracy": 98.2})]}, "points.0.metrics.accuracy"),
        ({"points": [study_point(0, sha256="x")]}, "points.0.sha256"),
        ({"objectives": [{"metric": "accuracy", "goal": "more"}]}, "objectives.0.goal"),
        ({"budgets": [{"metric": "macs"}]}, "budgets.0"),
        ({"points": [study_point(0, metrics={"accuracy": 0.9, "macs": 1e308})]}, "points.0.metrics.macs"),
        ({"name": "depths"}, None),
        ({"spec": "a\0b"}, None),
        ({"note": {"a\0b": 1}}, None),
        ({"points": [study_point(0), study_point(0)]}, None),
        ({"points": [{}] * 10_001}, "points"),
    ],
)
def test_study_that_is_none_is_refused_and_nothing_is_kept(
    publisher: APIClient, changes: dict[str, Any], field: str | None
) -> None:
    problem = assert_problem(send(publisher, "PUT", ADDRESS, study_document() | changes), 422, "study-invalid")
    if field is not None:
        assert field in {error["field"] for error in problem["errors"]}
    assert not Study.objects.exists()


def test_text_about_a_nul_is_no_nul(publisher: APIClient, viewer: APIClient) -> None:
    document = study_document(spec="name = '\\u0000'")
    assert send(publisher, "PUT", ADDRESS, document).status_code == 201
    assert send(viewer, "GET", ADDRESS).json()["document"]["spec"] == "name = '\\u0000'"


@pytest.mark.parametrize("body", [[], "widths", 7])
def test_body_that_is_no_object_is_refused(publisher: APIClient, body: Any) -> None:
    assert_problem(send(publisher, "PUT", ADDRESS, body), 422, "study-invalid")


def test_study_may_be_larger_than_other_bodies_and_not_larger_than_its_cap(publisher: APIClient) -> None:
    document = study_document(points=5000)
    assert 2 * 1024 * 1024 < len(json.dumps(document)) < MAX_STUDY_BYTES
    assert send(publisher, "PUT", ADDRESS, document).status_code == 201
    assert_problem(send(publisher, "PUT", ADDRESS, study_document(note="x" * MAX_STUDY_BYTES)), 413, "body-too-large")
    assert Study.objects.get().point_count == 5000


@pytest.mark.parametrize("name", ["Widths", "a b", "-x", "x" * 65])
def test_name_that_is_no_name_is_refused(publisher: APIClient, name: str) -> None:
    assert_problem(send(publisher, "PUT", f"/models/digits/studies/{name}", study_document(name)), 400, "invalid-input")


def test_unknown_line_and_study_are_404(viewer: APIClient, publisher: APIClient) -> None:
    for address in ("/models/nothing/studies", "/models/digits/studies/nothing", "/models/nothing/studies/x"):
        assert_problem(send(viewer, "GET", address), 404, "not-found")
    assert_problem(send(publisher, "PUT", "/models/nothing/studies/widths", study_document()), 404, "not-found")


def test_publisher_of_one_line_writes_studies_of_that_line_alone() -> None:
    make_line("kws")
    publisher = api_as("publisher:digits viewer")
    assert send(publisher, "PUT", ADDRESS, study_document()).status_code == 201
    assert_problem(send(publisher, "PUT", "/models/kws/studies/widths", study_document()), 403, "permission-refused")


def test_list_takes_no_document_from_the_database(
    line: Any, viewer: APIClient, django_assert_max_num_queries: Any
) -> None:
    for name in ("a", "b", "c"):
        make_study(line, name)
    with django_assert_max_num_queries(6) as queries:
        assert send(viewer, "GET", "/models/digits/studies").json()["count"] == 3
    assert not any('"document"' in query["sql"] for query in queries)


def test_variants_are_found_by_the_digests_of_points_unless_their_version_was_yanked(line: Any) -> None:
    drafts = [make_version(line, version) for version in ("1.0.0", "2.0.0")]
    chosen = make_variant(drafts[0], "point-1", content=onnx_model(1), is_live=False)
    gone = make_variant(drafts[1], "point-2", content=onnx_model(2), is_live=False)
    yank_version(actor=SYSTEM, version=drafts[1], reason="worse")
    digests = [chosen.artifact.sha256, gone.artifact.sha256, "0" * 64]
    assert variants_of_digests(line, digests) == {chosen.artifact.sha256: [chosen]}
