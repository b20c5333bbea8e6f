"""People and tokens that are made on the server's command line."""

import json
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from access.models import ROLE_SCOPES, ApiToken, Role

PAGE = Path(__file__).parents[2] / "docs" / "people.md"

pytestmark = pytest.mark.django_db


def made(command: str, *options: str) -> dict[str, Any]:
    out = StringIO()
    call_command(command, *options, "--json", stdout=out)
    printed: dict[str, Any] = json.loads(out.getvalue())
    return printed


def scopes_of(secret: str) -> set[str]:
    answer = APIClient(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/whoami")
    return set(answer.json()["scopes"])


@pytest.mark.parametrize("role", Role.values)
def test_person_of_each_role_logs_in_and_has_a_token_with_what_the_role_allows(role: str) -> None:
    person = made("create_person", "--username", "berta", "--grant", role, "--random", "--token-name", "laptop")
    answer = Client().post("/login/", {"username": "berta", "password": person["password"]})
    assert answer["Location"] == "/"
    user = User.objects.get(username="berta")
    assert user.is_staff == (role == Role.ADMIN)
    assert scopes_of(person["token"]) == ROLE_SCOPES[role]


def test_person_may_have_several_grants_and_a_token_of_one_of_them() -> None:
    grants = ("--grant", "publisher:digits", "--grant", "operator:digits@berlin", "--grant", "viewer")
    person = made("create_person", "--username", "berta", *grants, "--random")
    assert person["grants"] == "operator:digits@berlin publisher:digits viewer"
    token = made("create_token", "--username", "berta", "--name", "berlin", "--scope", "operate", "--group", "berlin")
    answer = APIClient(headers={"Authorization": f"Bearer {token['token']}"}).get("/api/v1/whoami").json()
    assert answer["permits"] == [{"scopes": ["operate"], "model_line": "digits", "group": "berlin"}]


def test_token_of_a_new_person_may_be_smaller_than_the_role() -> None:
    options = ("--username", "ci", "--grant", "publisher", "--random", "--token-name", "ci", "--scope", "read")
    assert scopes_of(made("create_person", *options)["token"]) == {"read"}


def test_person_whose_token_would_exceed_the_role_is_not_created() -> None:
    options = ("--username", "eve", "--grant", "viewer", "--random", "--token-name", "x", "--scope", "operate")
    with pytest.raises(CommandError, match="operate"):
        made("create_person", *options)
    assert not User.objects.filter(username="eve").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--username", "a b!", "--grant", "viewer", "--random"), "username is not valid"),
        (("--username", "berta", "--grant", "viewer", "--password-file", "/dev/null"), "password is not valid"),
        (("--username", "berta", "--grant", "viewer", "--password-file", "/nowhere"), "cannot be read"),
        (("--username", "berta", "--grant", "boss", "--random"), "is no grant"),
        (("--username", "berta", "--grant", "admin:digits", "--random"), "one of everything"),
        (("--username", "berta", "--grant", "publisher@berlin", "--random"), "every group"),
        (("--username", "berta", "--grant", "viewer"), "--password-file --random"),
        (("--username", "berta", "--grant", "viewer", "--random", "--scope", "read"), "--token-name"),
    ],
)
def test_person_that_cannot_be_made_is_refused_with_the_reason(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        made("create_person", *options)
    assert not User.objects.exists()


def test_person_without_a_token_gets_one_that_ends() -> None:
    made("create_person", "--username", "berta", "--grant", "operator", "--random")
    token = made("create_token", "--username", "berta", "--name", "laptop", "--expires-in-d", "90")
    assert scopes_of(token["token"]) == {"read", "operate"}
    expires_at = parse_datetime(token["expires_at"])
    assert expires_at is not None
    assert abs(expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    assert ApiToken.objects.get(pk=token["token_id"]).expires_at == expires_at


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--username", "nobody", "--name", "x"), "no person 'nobody'"),
        (("--username", "vera", "--name", "x", "--model", "digits", "--scope", "operate"), "operate"),
        (("--username", "vera", "--name", "x", "--scope", "publish"), "publish"),
        (("--username", "vera", "--name", "x", "--expires-in-d", "-1"), "not in the future"),
        (("--username", "vera", "--name", "x", "--expires-in-d", "nan"), "no number of days"),
        (("--username", "vera", "--name", "x", "--expires-in-d", "1e12"), "no number of days"),
    ],
)
def test_token_that_cannot_be_made_is_refused_with_the_reason(options: tuple[str, ...], said: str) -> None:
    made("create_person", "--username", "vera", "--grant", "viewer", "--random")
    with pytest.raises(CommandError, match=said):
        made("create_token", *options)
    assert not ApiToken.objects.exists()


def test_page_names_each_role_with_its_scopes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE)
    assert {role: set(re.findall(r"\w+", scopes)) for role, scopes in rows} == {
        role.value: set(scopes) for role, scopes in ((Role(role), ROLE_SCOPES[role]) for role in Role.values)
    }


def test_commands_of_the_page_run_as_they_stand() -> None:
    for line in re.findall(r"^smallfleet manage (.+)$", PAGE.read_text(), re.MULTILINE):
        made(*line.split())
