"""API tokens: hashed, scoped, shown once."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from access.actors import SYSTEM, Actor
from access.errors import TokenScopeInvalid, Unauthenticated
from access.grants import EVERYTHING, GrantSpec
from access.models import ROLE_SCOPES, ApiToken, AuditRecord, Role, Scope
from access.people import set_grants
from access.services import create_token, end_token
from tests.factories.people import api_as, make_person, token_of

pytestmark = pytest.mark.django_db


def client_with(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_token_is_shown_once_and_works() -> None:
    admin = api_as("admin")
    made = admin.post("/api/v1/tokens", {"name": "ci", "scopes": ["read", "publish"]}, format="json").json()
    assert made["token"].startswith("sft_")
    listed = admin.get("/api/v1/tokens").json()["results"]
    assert made["id"] in {row["id"] for row in listed}
    assert all("token" not in row for row in listed)
    assert client_with(made["token"]).get("/api/v1/whoami").json()["scopes"] == ["publish", "read"]


def test_secret_is_not_in_the_database() -> None:
    secret = token_of(make_person())
    row = ApiToken.objects.values().get()
    assert secret not in repr(row)
    assert secret.removeprefix("sft_") not in repr(row)


@pytest.mark.parametrize("role", Role.values)
def test_token_cannot_exceed_its_owners_role(role: str) -> None:
    person = make_person(role)
    for scope in set(Scope.values) - ROLE_SCOPES[role]:
        with pytest.raises(TokenScopeInvalid, match=scope):
            create_token(actor=SYSTEM, user=person, name="x", scopes=[scope])


def test_token_makes_no_token_that_may_do_more_than_itself() -> None:
    client = client_with(token_of(make_person("admin"), "read"))
    refused = client.post("/api/v1/tokens", {"name": "x", "scopes": ["read", "administer"]}, format="json")
    assert refused.status_code == 400
    assert refused.json()["type"].endswith("token-scope-invalid")
    assert ApiToken.objects.count() == 1
    assert client.post("/api/v1/tokens", {"name": "x", "scopes": ["read"]}, format="json").status_code == 201


@pytest.mark.parametrize("days", [None, 30])
def test_token_makes_no_token_that_outlives_it(days: int | None) -> None:
    ends = timezone.now() + timedelta(days=1)
    _, secret = create_token(actor=SYSTEM, user=make_person(), name="short", scopes=["read"], expires_at=ends)
    wish = {"name": "x", "scopes": ["read"], "expires_at": days and (ends + timedelta(days=days)).isoformat()}
    made = client_with(secret).post("/api/v1/tokens", wish, format="json").json()
    assert ApiToken.objects.get(pk=made["id"]).expires_at == ends


def test_token_ends_no_token_that_may_do_more_than_itself() -> None:
    person = make_person("admin")
    strong = token_of(person)
    token = ApiToken.objects.get()
    assert client_with(token_of(person, "read")).delete(f"/api/v1/tokens/{token.id}").status_code == 403
    assert client_with(strong).get("/api/v1/whoami").status_code == 200


def test_demoted_owner_takes_the_scope_from_the_token() -> None:
    person = make_person("publisher")
    client = client_with(token_of(person))
    make_person("admin")  # somebody stays
    set_grants(actor=SYSTEM, user=person, grants=[GrantSpec(Role.VIEWER)])
    assert client.get("/api/v1/whoami").json()["scopes"] == ["read"]


def test_revoked_token_ends_at_once_and_twice_is_harmless() -> None:
    person = make_person()
    secret = token_of(person)
    token = ApiToken.objects.get()
    other = client_with(token_of(person))
    assert other.delete(f"/api/v1/tokens/{token.id}").status_code == 204
    assert other.delete(f"/api/v1/tokens/{token.id}").status_code == 204
    assert client_with(secret).get("/api/v1/whoami").status_code == 401
    assert AuditRecord.objects.filter(action="revoke_token").count() == 1


def test_token_ends_with_the_one_that_it_was_made_with() -> None:
    person = make_person("admin")
    stolen, again = client_with(token_of(person)), {"name": "x", "scopes": ["read"]}
    made = stolen.post("/api/v1/tokens", again, format="json").json()
    grandchild = client_with(made["token"]).post("/api/v1/tokens", again, format="json").json()["token"]
    others = client_with(token_of(person))
    (first,) = ApiToken.objects.filter(made__id=made["id"])
    assert others.delete(f"/api/v1/tokens/{first.pk}").status_code == 204
    for client in (stolen, client_with(made["token"]), client_with(grandchild)):
        assert client.get("/api/v1/whoami").status_code == 401
    assert others.get("/api/v1/whoami").status_code == 200
    assert AuditRecord.objects.filter(action="revoke_token").count() == 3


def test_token_that_ends_while_it_asks_makes_none() -> None:
    person = make_person("admin")
    token_of(person)
    token = ApiToken.objects.get()
    actor = Actor("token", str(token.pk), "late", (EVERYTHING,))
    end_token(actor=SYSTEM, token=token)
    with pytest.raises(Unauthenticated):
        create_token(actor=actor, user=person, name="x", scopes=["read"])


def test_token_of_somebody_else_is_not_found() -> None:
    token_of(make_person("publisher"))
    token = ApiToken.objects.get()
    assert api_as("admin").delete(f"/api/v1/tokens/{token.id}").status_code == 404


def test_token_that_has_ended_already_is_not_made() -> None:
    ended = (timezone.now() - timedelta(seconds=1)).isoformat()
    answer = api_as("viewer").post(
        "/api/v1/tokens", {"name": "x", "scopes": ["read"], "expires_at": ended}, format="json"
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "expires_at")
    assert not ApiToken.objects.filter(name="x").exists()


def test_expired_token_is_refused() -> None:
    _, secret = create_token(
        actor=SYSTEM, user=make_person(), name="x", scopes=["read"], expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert client_with(secret).get("/api/v1/whoami").status_code == 401


def test_disabled_person_is_refused() -> None:
    person = make_person()
    secret = token_of(person)
    person.is_active = False
    person.save(update_fields=["is_active"])
    assert client_with(secret).get("/api/v1/whoami").status_code == 401


def test_last_use_is_written_once_an_hour_only() -> None:
    client = client_with(token_of(make_person()))
    client.get("/api/v1/whoami")
    first = ApiToken.objects.get().last_used_at
    client.get("/api/v1/whoami")
    assert ApiToken.objects.get().last_used_at == first is not None


def test_every_change_is_recorded() -> None:
    admin = api_as("admin")
    admin.post("/api/v1/tokens", {"name": "ci", "scopes": ["read"]}, format="json")
    actions = list(AuditRecord.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["create_person", "create_token", "create_token"]


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


# --- Narrowed to model lines and groups -----------------------------------------------------------------------------


def permits_of(secret: str) -> list[dict[str, object]]:
    permits: list[dict[str, object]] = client_with(secret).get("/api/v1/whoami").json()["permits"]
    return permits


def test_token_has_of_its_owners_grants_what_lies_within_it() -> None:
    person = make_person("publisher viewer:kws operator@berlin")
    assert permits_of(token_of(person, "read", "operate", lines=("digits",))) == [
        {"scopes": ["operate", "read"], "model_line": "digits", "group": "berlin"},
        {"scopes": ["read"], "model_line": "digits", "group": None},
    ]
    assert permits_of(token_of(person, "publish", lines=("digits",))) == [
        {"scopes": ["publish"], "model_line": "digits", "group": None}
    ]


@pytest.mark.parametrize(
    ("grants", "wish", "said"),
    [
        ("viewer:digits", {"scopes": ["read"], "model_lines": ["kws"]}, "model lines: kws"),
        ("viewer@berlin", {"scopes": ["read"], "groups": ["berlin", "lyon"]}, "groups: lyon"),
        ("operator:digits viewer:kws", {"scopes": ["operate"], "model_lines": ["kws"]}, "scopes: operate"),
        ("publisher", {"scopes": ["publish"], "groups": ["berlin"]}, "scopes: publish"),
        ("admin", {"scopes": ["administer"], "model_lines": ["digits"]}, "scopes: administer"),
    ],
)
def test_token_beyond_its_owners_grants_is_not_made(grants: str, wish: dict[str, object], said: str) -> None:
    answer = api_as(grants, "berta").post("/api/v1/tokens", {"name": "x", **wish}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:smallfleet:problem:token-scope-invalid")
    assert said in answer.json()["detail"]
    assert ApiToken.objects.count() == 1


def test_narrowed_token_makes_only_such_as_are_as_narrow() -> None:
    person = make_person("operator")
    client = client_with(token_of(person, lines=("digits",), groups=("berlin",)))
    made = client.post("/api/v1/tokens", {"name": "x", "scopes": ["operate"]}, format="json").json()
    assert (made["model_lines"], made["groups"]) == (["digits"], ["berlin"])
    wider = {"name": "x", "scopes": ["operate"], "groups": ["lyon"]}
    assert client.post("/api/v1/tokens", wider, format="json").status_code == 400


def test_narrowed_token_ends_no_wider_one() -> None:
    person = make_person("operator")
    token_of(person, "read", lines=("digits",))
    wider = ApiToken.objects.get()
    for narrow, status in ((("digits",), 204), (("kws",), 403)):
        assert client_with(token_of(person, lines=narrow)).delete(f"/api/v1/tokens/{wider.pk}").status_code == status


def test_grant_that_is_taken_takes_its_part_of_the_token() -> None:
    make_person("admin")
    person = make_person("operator:digits operator:kws")
    secret = token_of(person)
    set_grants(actor=SYSTEM, user=person, grants=[GrantSpec(Role.OPERATOR, "kws")])
    assert permits_of(secret) == [{"scopes": ["operate", "read"], "model_line": "kws", "group": None}]
