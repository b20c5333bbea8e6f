"""The page of the audit record: for admins, filtered, with what changed, and as quick on its last page as on its first."""

import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access.actors import Actor
from access.addresses import Origin, work_from
from access.audit.chain import seal_records
from access.audit.models import AuditRecord
from access.audit.recording import record_audit
from access.models import Role
from tests.factories.people import make_person
from tests.fleet.dashboards.conftest import ClientOf

pytestmark = pytest.mark.django_db
ANNA = Actor("person", "anna", "anna")
CI = Actor("token", "7d3f", "ci of bert")


@pytest.fixture
def admin(client_of: ClientOf) -> Client:
    return client_of(Role.ADMIN)


def words(client: Client, path: str) -> str:
    """The page without its tags."""
    answer = client.get(path)
    assert answer.status_code == 200, path
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_record_is_shown_with_who_from_where_and_what_changed(admin: Client) -> None:
    with work_from(Origin("198.51.100.4", "req-1")):
        record_audit(
            actor=CI,
            action="update_webhook",
            subject="7d3f",
            before={"kinds": ["a"], "enabled": True, "limits": {"fps": 5}},
            after={"kinds": ["a", "b"], "enabled": False, "limits": None},
            detail={"reason": "<script>alert(1)</script>"},
        )
    page = words(admin, "/audit/")
    assert "ci of bert token:7d3f from 198.51.100.4 request req-1 update_webhook 7d3f" in page
    assert 'enabled yes → no kinds a → a, b limits {"fps": 5} reason <script>alert(1)</script> not yet' in page
    assert "<script>alert" not in admin.get("/audit/").content.decode()
    seal_records()
    assert "not yet" not in words(admin, "/audit/")


def test_filters_show_what_they_name_and_stay_in_the_links(admin: Client) -> None:
    record_audit(actor=ANNA, action="yank_version", subject="digits/1.0.0", detail={"reason": "blurred"})
    record_audit(actor=CI, action="add_variant", subject="kws/1.0.0 fp32")
    assert "blurred" not in words(admin, "/audit/?actor=token:7d3f")
    assert "blurred" in words(admin, "/audit/?subject=digits&action=yank_version")
    assert "No record is found" in words(admin, "/audit/?subject=digits&since=2020-01-01&until=2020-01-02")
    assert "blurred" in words(admin, "/audit/?since=2020-01-01&until=2999-01-01")
    assert "subject=digits" in admin.get("/audit/?subject=digits").content.decode()


@pytest.mark.parametrize("query", ["since=yesterday", "before=x", "before=0", "actor=" + "x" * 201])
def test_filter_that_makes_no_sense_is_said(admin: Client, query: str) -> None:
    assert admin.get(f"/audit/?{query}").status_code == 400


def test_pages_go_back_without_counting(admin: Client) -> None:
    for number in range(120):
        record_audit(actor=ANNA, action="yank_version", subject=f"digits/{number}.0.0")
    path, seen = "/audit/?action=yank_version", list[int]()
    while True:
        with CaptureQueriesContext(connection) as queries:
            page = admin.get(path).content.decode()
        assert not any("COUNT(" in query["sql"] for query in queries)
        seen += [int(found) for found in re.findall(r">digits/(\d+)\.0\.0<", page)]
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if older is None:
            break
        path = "/audit/" + unescape(older[1])
    assert seen == list(range(119, -1, -1))


@pytest.mark.parametrize("grants", ["viewer", "operator", "publisher", "operator:digits"])
def test_others_than_admins_do_not_see_it(grants: str) -> None:
    client = Client()
    client.force_login(make_person(grants, "somebody"))
    assert client.get("/audit/").status_code == 403
    assert "/audit/" not in client.get("/account/").content.decode()


def test_page_has_nothing_to_press(admin: Client) -> None:
    before = AuditRecord.objects.count()
    assert admin.post("/audit/").status_code == 405
    assert AuditRecord.objects.count() == before
