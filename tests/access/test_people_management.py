"""Admins make people, grant and take back, switch off, end tokens; there is always an admin left."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from access.actors import SYSTEM, actor_of_user
from access.audit.models import AuditRecord
from access.errors import LastAdmin, PermissionRefused
from access.grants import GrantSpec, parse_grant
from access.models import ApiToken, Grant, Role
from access.people import set_active, set_grants, specs_of
from tests.factories.fleet import make_group
from tests.factories.people import PASSWORD, api_as, make_person, token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(make_person("admin"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def grants_of(username: str) -> list[str]:
    return [str(grant) for grant in specs_of(User.objects.get(username=username))]


def test_person_is_made_on_the_page_with_a_password_that_is_shown_once(admin: Client) -> None:
    typed = {"username": "berta", "grants": "operator:digits@berlin\nviewer", "with_password": "yes"}
    page = admin.post("/people/", typed, follow=True).content.decode()
    assert grants_of("berta") == ["operator:digits@berlin", "viewer"]
    password = page.partition("shown this once: ")[2].partition("<")[0].strip()
    assert Client().post("/login/", {"username": "berta", "password": password})["Location"] == "/"
    assert password not in admin.get("/people/berta/").content.decode()
    assert password not in repr(list(AuditRecord.objects.values()))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"username": "admin", "grants": "viewer"}, "already"),
        ({"username": "b b", "grants": "viewer"}, "username is not valid"),
        ({"username": "berta", "grants": "boss"}, "is no grant"),
        ({"username": "berta", "grants": "admin@berlin"}, "one of everything"),
    ],
)
def test_person_that_cannot_be_made_is_refused_in_words(admin: Client, typed: dict[str, str], said: str) -> None:
    page = admin.post("/people/", typed)
    assert page.status_code in {400, 409}
    assert said in page.content.decode()
    assert typed["grants"] in page.content.decode()
    assert User.objects.count() == 1


def test_grants_are_changed_and_take_effect_at_the_next_request(admin: Client) -> None:
    berta = make_person("viewer", "berta")
    client = Client()
    client.force_login(berta, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/rollouts/new/").status_code == 403
    admin.post("/people/berta/grants/", {"grants": "operator"})
    assert client.get("/rollouts/new/").status_code == 200
    admin.post("/people/berta/grants/", {"grants": ""})
    assert client.get("/").status_code == 403
    record = AuditRecord.objects.filter(action="set_grants").latest("id")
    assert (record.before, record.after) == ({"grants": ["operator"]}, {"grants": []})


def test_switched_off_means_session_and_tokens_at_once(admin: Client) -> None:
    berta = make_person("viewer", "berta")
    session, token = Client(), Client(headers={"Authorization": f"Bearer {token_of(berta)}"})
    session.force_login(berta, backend="django.contrib.auth.backends.ModelBackend")
    assert (session.get("/").status_code, token.get("/api/v1/whoami").status_code) == (200, 200)
    admin.post("/people/berta/deactivate/")
    assert session.get("/")["Location"].startswith("/login/")
    assert token.get("/api/v1/whoami").status_code == 401
    assert Client().post("/login/", {"username": "berta", "password": PASSWORD}).status_code == 200
    admin.post("/people/berta/activate/")
    assert token.get("/api/v1/whoami").status_code == 200


def test_last_admin_stays(admin: Client) -> None:
    root = User.objects.get()
    page = admin.post("/people/admin/deactivate/", follow=True)
    assert "The last admin stays" in page.content.decode()
    with pytest.raises(LastAdmin):
        set_grants(actor=SYSTEM, user=root, grants=[GrantSpec(Role.VIEWER)])
    other = make_person("admin", "other")
    set_active(actor=SYSTEM, user=other, is_active=False)
    with pytest.raises(LastAdmin):  # one that is switched off is none
        set_active(actor=SYSTEM, user=root, is_active=False)
    set_active(actor=SYSTEM, user=other, is_active=True)
    set_grants(actor=SYSTEM, user=root, grants=[])
    assert not User.objects.get(pk=root.pk).is_staff


def test_tokens_of_others_are_listed_and_ended(admin: Client) -> None:
    client = Client(headers={"Authorization": f"Bearer {token_of(make_person('viewer', 'berta'))}"})
    token = ApiToken.objects.get()
    assert str(token.pk) in admin.get("/people/berta/").content.decode()
    admin.post("/people/berta/revoke-token/", {"token": str(token.pk)})
    assert client.get("/api/v1/whoami").status_code == 401
    missing = admin.post("/people/admin/revoke-token/", {"token": str(token.pk)}, follow=True)
    assert "has no token" in missing.content.decode()


def test_admins_do_the_same_over_rest() -> None:
    api = api_as("admin")
    made = api.post("/api/v1/people", {"username": "ci", "grants": ["publisher:digits"]}, format="json")
    assert (made.status_code, made.json()["grants"]) == (201, ["publisher:digits"])
    assert not User.objects.get(username="ci").has_usable_password()
    again = api.post("/api/v1/people", {"username": "ci", "grants": []}, format="json")
    assert (again.status_code, again.json()["type"]) == (409, "urn:smallfleet:problem:person-taken")
    changed = api.patch("/api/v1/people/ci", {"grants": ["viewer@berlin"], "is_active": False}, format="json").json()
    assert (changed["grants"], changed["is_active"]) == (["viewer@berlin"], False)
    wrong = api.patch("/api/v1/people/ci", {"grants": ["viewer", "boss"]}, format="json")
    assert wrong.json()["errors"][0]["field"] == "grants.1"
    assert {row["username"] for row in api.get("/api/v1/people").json()["results"]} == {"admin", "ci"}
    last = api.patch("/api/v1/people/admin", {"is_active": False}, format="json")
    assert (last.status_code, last.json()["type"]) == (409, "urn:smallfleet:problem:last-admin")


def test_change_that_is_refused_in_part_changes_nothing() -> None:
    api = api_as("admin")
    make_person("viewer", "berta")
    refused = api.patch("/api/v1/people/berta", {"grants": ["operator"], "password": "short"}, format="json")
    assert refused.status_code == 400
    assert grants_of("berta") == ["viewer"]


@pytest.mark.parametrize("grants", ["operator", "publisher", "viewer"])
def test_only_admins_change_people_whatever_way_they_come(grants: str) -> None:
    make_person("admin")
    actor = actor_of_user(make_person(grants, "asker"))
    with pytest.raises(PermissionRefused):
        set_grants(actor=actor, user=User.objects.get(username="asker"), grants=[GrantSpec(Role.ADMIN)])
    with pytest.raises(PermissionRefused):
        set_active(actor=actor, user=User.objects.get(username="admin"), is_active=False)


def test_group_that_is_granted_is_not_deleted() -> None:
    api = api_as("admin")
    make_group("berlin")
    berta = make_person("viewer@berlin", "berta")
    refused = api.delete("/api/v1/groups/berlin")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:smallfleet:problem:fleet-conflict")
    set_grants(actor=SYSTEM, user=berta, grants=[parse_grant("viewer")])
    token_of(berta, "read", groups=("berlin",))
    assert api.delete("/api/v1/groups/berlin").status_code == 409
    ApiToken.objects.filter(user=berta).delete()
    assert api.delete("/api/v1/groups/berlin").status_code == 204


def test_own_token_is_made_and_ended_on_the_page_and_shown_once() -> None:
    client = Client()
    client.force_login(make_person("operator:digits", "berta"), backend="django.contrib.auth.backends.ModelBackend")
    typed = {"name": "laptop", "scopes": ["read"], "model_lines": "digits", "groups": "", "days": "30"}
    page = client.post("/account/", typed)
    assert page.status_code == 201
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert secret not in client.get("/account/").content.decode()
    beyond = client.post("/account/", {**typed, "model_lines": "kws"})
    assert (beyond.status_code, "kws" in beyond.content.decode()) == (400, True)
    token = ApiToken.objects.get()
    client.post(f"/account/tokens/{token.pk}/revoke/")
    assert Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/whoami").status_code == 401


def test_database_refuses_what_the_services_never_write() -> None:
    from django.db import IntegrityError, transaction

    berta = make_person("viewer", "berta")
    for wrong in ({"role": "admin", "group": "berlin"}, {"role": "publisher", "group": "berlin"}, {"role": "boss"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Grant.objects.create(user=berta, **wrong)
