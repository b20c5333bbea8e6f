"""The audit record over REST: for admins alone, filtered, in pages that do not count, and whole as JSON lines."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from access.actors import Actor
from access.addresses import Origin, work_from
from access.audit.chain import head, links, seal_records
from access.audit.models import AuditRecord
from access.audit.recording import record_audit
from tests.access.test_problems import assert_problem
from tests.factories.people import api_as

pytestmark = pytest.mark.django_db
ANNA = Actor("person", "anna", "anna")
CI = Actor("token", "7d3f", "ci of bert")


@pytest.fixture
def admin() -> APIClient:
    return api_as("admin")


def listed(client: APIClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/audit", query)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_record_is_shown_with_what_changed_and_its_place(admin: APIClient) -> None:
    with work_from(Origin("198.51.100.4", "req-1")):
        record_audit(
            actor=CI, action="yank_version", subject="digits/1.0.0", before={"state": "a"}, after={"state": "b"}
        )
    seal_records()
    (row,) = listed(admin, action="yank_version")
    end = head()
    assert row == {
        "id": row["id"], "at": row["at"], "actor": "token:7d3f", "actor_name": "ci of bert", "action": "yank_version",
        "subject": "digits/1.0.0", "before": {"state": "a"}, "after": {"state": "b"}, "detail": {}, "address": "198.51.100.4",
        "request_id": "req-1", "position": end.position, "sha256": end.sha256,
    }  # fmt: skip
    assert admin.get("/api/v1/audit/head").json() == {"position": end.position, "sha256": end.sha256}


def test_filters_find_what_they_name(admin: APIClient) -> None:
    for actor, action, subject in (
        (ANNA, "yank_version", "digits/1.0.0"),
        (CI, "yank_version", "kws/1.0.0"),
        (CI, "add_variant", "digits/1.0.0 fp32"),
    ):
        record_audit(actor=actor, action=action, subject=subject)
    assert [row["subject"] for row in listed(admin, actor="token:7d3f")] == ["digits/1.0.0 fp32", "kws/1.0.0"]
    assert [row["actor"] for row in listed(admin, action="yank_version")] == ["token:7d3f", "person:anna"]
    assert [row["action"] for row in listed(admin, subject="digits")] == ["add_variant", "yank_version"]
    assert [row["action"] for row in listed(admin, subject="digits", actor="person:anna")] == ["yank_version"]


def test_time_is_a_filter(admin: APIClient) -> None:
    moments = []
    for number in range(3):
        record_audit(actor=ANNA, action="yank_version", subject=str(number))
        moments.append(AuditRecord.objects.latest("pk").at.isoformat())
    wanted = {"action": "yank_version"}
    assert [row["subject"] for row in listed(admin, since=moments[1], **wanted)] == ["2", "1"]
    assert [row["subject"] for row in listed(admin, until=moments[1], **wanted)] == ["0"]


def test_pages_follow_each_other_without_counting(admin: APIClient) -> None:
    for number in range(7):
        record_audit(actor=ANNA, action="yank_version", subject=str(number))
    seen, before = [], None
    while True:
        address = "/api/v1/audit?action=yank_version&limit=3" + (f"&before={before}" if before else "")
        with CaptureQueriesContext(connection) as queries:
            page = admin.get(address).json()
        assert not any("COUNT(" in query["sql"] for query in queries)
        seen += [int(row["subject"]) for row in page["results"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "before=x", "before=9223372036854775808", "since=yesterday", "subject=" + "x" * 301],
)
def test_query_that_makes_no_sense_is_a_problem(admin: APIClient, query: str) -> None:
    assert_problem(admin.get(f"/api/v1/audit?{query}"), 400, "invalid-input")


@pytest.mark.parametrize("grants", ["viewer", "operator", "publisher", "operator:digits publisher:digits"])
@pytest.mark.parametrize("route", ["audit", "audit/head", "audit/export"])
def test_others_than_admins_are_refused(grants: str, route: str) -> None:
    assert_problem(api_as(grants).get(f"/api/v1/{route}"), 403, "permission-refused")


@pytest.mark.parametrize("accept", ["*/*", "application/x-ndjson", "application/json"])
def test_export_is_the_chain_line_by_line(admin: APIClient, accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.audit.chain.BATCH", 2)
    for number in range(4):
        record_audit(actor=ANNA, action="yank_version", subject=f"Zeile\u2028{number}")
    seal_records()
    answer: Any = admin.get("/api/v1/audit/export", {"first": 3}, HTTP_ACCEPT=accept)
    assert answer.streaming
    assert answer["Content-Type"] == "application/x-ndjson"
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert [json.loads(line)["record"] for line in lines] == [link.record for link in links(first=3)]
    assert [json.loads(line)["position"] for line in lines] == list(range(3, head().position + 1))


def test_export_that_is_refused_is_a_problem(admin: APIClient) -> None:
    assert_problem(admin.get("/api/v1/audit/export?first=0", HTTP_ACCEPT="application/x-ndjson"), 400, "invalid-input")
