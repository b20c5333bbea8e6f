"""Every change leaves a record: each unsafe method of each route is carried out, and the audit record has it, or the table says why not.

The routes come from the URL configuration: a new one that writes fails here until it stands in one of the two tables.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access import tokens
from access.actors import SYSTEM
from access.audit.models import AuditRecord
from access.models import ApiToken
from access.services import create_token
from fleet.rollouts.models import Rollout
from fleet.rollouts.services import pause_rollout, start_rollout
from registry.models import Variant, Version
from registry.services import publish_version
from tests.access.decisions import PAGES
from tests.access.test_matrix import METHODS, ROUTES
from tests.access.world import World, make_world
from tests.factories import registry
from tests.factories.fleet import make_enrollment_token, make_group
from tests.factories.people import PASSWORD, make_person, token_of
from tests.factories.studies import study_document
from tests.factories.trust import SignedLine

pytestmark = pytest.mark.django_db
UNSAFE = [method for method in METHODS if method not in {"GET", "HEAD"}]
AT = ("digits", "berlin")


@dataclass
class Ask:
    """One request that changes something.

    Attributes:
        where: what stands in the address.
        body: what is sent.
        query: after the address.
        as_device: the device of digits in berlin asks, not the admin.
    """

    where: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    query: str = ""
    as_device: bool = False


Scene = Callable[[World], Ask]

DEVICES_WORK = "what a device says in the course of its work has tables of its own"
SESSION = "a session begins or ends; nothing of the fleet changes"
ALIAS = "Django's form views take PUT for POST"
SAYS_ALL = {"change_password"}
"""Actions of which there is nothing more to say that may be said."""

UNRECORDED = {
    ("api:poll", "POST"): DEVICES_WORK,
    ("api:events", "POST"): DEVICES_WORK,
    ("api:reports", "POST"): DEVICES_WORK,
    ("login", "POST"): SESSION,
    ("logout", "POST"): SESSION,
    ("login", "PUT"): ALIAS,
    ("password", "PUT"): ALIAS,
}


def _fixed(body: Any = None, **where: Any) -> Scene:
    return lambda _: Ask(where, body)


def _device(body: Any = None) -> Scene:
    return lambda world: Ask({"device_id": world.devices[AT].row.pk}, body)


def _pending(body: Any = None) -> Scene:
    def scene(world: World) -> Ask:
        return Ask(body={**(body or {}), "devices": [str(world.pending["berlin"].row.pk)]})

    return scene


def _token(body: Any = None, **where: Any) -> Scene:
    return lambda world: Ask({"token_id": world.tokens["berlin"].pk, **where}, body)


def _webhook(body: Any = None, **where: Any) -> Scene:
    return lambda world: Ask({"webhook_id": world.webhook.pk if world.webhook else None, **where}, body)


def _redelivery(world: World) -> Ask:
    assert world.webhook
    return Ask({"webhook_id": world.webhook.pk, "delivery_id": world.delivery.pk})


def _rollout(state: str = "draft", **where: Any) -> Scene:
    def scene(world: World) -> Ask:
        rollout = world.rollouts[AT]
        if state != "draft":
            start_rollout(actor=SYSTEM, rollout=rollout)
        if state == "paused":
            pause_rollout(actor=SYSTEM, rollout=rollout)
        return Ask({"rollout_id": rollout.pk, **where})

    return scene


def _waiting_rollout(state: str) -> Scene:
    """Of a version that no device has yet, or it would finish at once."""

    def scene(world: World) -> Ask:
        version = Version.objects.get(model_line__name="digits", version="2.0.0")
        newer = registry.make_variant(version)
        publish_version(actor=SYSTEM, version=version)
        Rollout.objects.filter(pk=world.rollouts[AT].pk).update(target=newer)
        world.rollouts[AT].refresh_from_db()
        return _rollout(state)(world)

    return scene


def _own_token(world: World) -> Ask:
    admin = User.objects.get(username="asker")
    return Ask({"token_id": create_token(actor=SYSTEM, user=admin, name="t", scopes=["read"])[0].pk})


def _persons_token(world: World) -> Ask:
    assert world.person_token
    return Ask({"username": "owner", "token_id": world.person_token.pk})


def _persons_token_form(world: World) -> Ask:
    assert world.person_token
    return Ask({"username": "owner", "verb": "revoke-token"}, {"token": str(world.person_token.pk)})


def _contract(world: World) -> Ask:
    content = registry.contract_bytes(note="new")
    return Ask({"sha256": registry.digest(content)}, content, query="?kind=contract")


def _new_version(world: World) -> Ask:
    contract = world.variants["digits"].version.contract
    return Ask({"model": "digits", "version": "3.0.0"}, {"contract_sha256": contract.sha256})


def _new_variant(world: World) -> Ask:
    artifact = registry.make_artifact(registry.onnx_model(77))
    return Ask({"model": "digits", "version": "2.0.0", "variant": "int8"}, {"sha256": artifact.sha256})


def _evaluation(world: World) -> Ask:
    body = {"metric": "accuracy", "value": 0.9, "sample_count": 10, "dataset_sha256": "a" * 64}
    return Ask({"model": "digits", "version": "1.0.0", "variant": world.variants["digits"].name}, body)


def _publication(world: World) -> Ask:
    registry.make_variant(Version.objects.get(model_line__name="digits", version="2.0.0"))
    return Ask({"model": "digits", "version": "2.0.0"}, {})


def _yank(world: World) -> Ask:
    Variant.objects.update(is_live=False)
    return Ask({"model": "digits", "version": "1.0.0"}, {"reason": "wrong labels"})


def _root(world: World) -> Ask:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(make_person('admin', 'signer'))}")
    registry.make_line("unsigned")
    signed = SignedLine("unsigned", api.get("/api/v1/trust/online-keys").json())
    return Ask({"model": "unsigned", "file": "1.root.json"}, signed.root_bytes())


def _group(world: World) -> Ask:
    make_group("empty", "site=nowhere")
    return Ask({"name": "empty"})


def _enrollment(world: World) -> Ask:
    return Ask(body={"token": make_enrollment_token()[1], "name": "gate-7", "device_class": "pi5"})


def _rollout_wish(world: World) -> Ask:
    variant = world.variants["digits"]
    return Ask(body={"model": "digits", "version": "1.0.0", "variant": variant.name, "group": "lyon"})


def _rollout_form(world: World) -> Ask:
    return Ask(body={"variant": world.variants["digits"].pk, "group": world.groups["lyon"].pk, "wait_for_delta_s": 0})


HOOK = {"url": "https://hooks.example.org/new", "kinds": ["version_yanked"]}
NEW_PASSWORD = "a horse that is more correct still"

SCENES: dict[tuple[str, str], Scene] = {
    ("api:enroll", "POST"): _enrollment,
    ("api:credential", "PUT"): lambda _: Ask(body={"next_sha256": "b" * 64}, as_device=True),
    ("api:tokens", "POST"): _fixed({"name": "ci", "scopes": ["read"]}),
    ("api:token", "DELETE"): _own_token,
    ("api:people", "POST"): _fixed({"username": "new", "grants": ["viewer"]}),
    ("api:person", "PATCH"): _fixed({"is_active": False}, username="owner"),
    ("api:person-token", "DELETE"): _persons_token,
    ("api:artifact", "PUT"): _contract,
    ("api:models", "POST"): _fixed({"name": "new"}),
    ("api:budget", "PUT"): _fixed({"limits": {"fps": {"at_least": 5}}}, model="digits"),
    ("api:study", "PUT"): _fixed(study_document("widths"), model="digits", name="widths"),
    ("api:version", "PUT"): _new_version,
    ("api:publish", "POST"): _publication,
    ("api:yank", "POST"): _yank,
    ("api:variant", "PUT"): _new_variant,
    ("api:evaluations", "POST"): _evaluation,
    ("api:metadata", "PUT"): _root,
    ("api:patch-plan", "POST"): _fixed({}, model="digits"),
    ("api:link-classes", "POST"): _fixed({"name": "new", "price_per_mb": "1"}),
    ("api:link-class", "PATCH"): _fixed({"metered": True}, name="lte"),
    ("api:groups", "POST"): _fixed({"name": "new", "query": "site=x"}),
    ("api:group", "DELETE"): _group,
    ("api:enrollment-tokens", "POST"): _fixed({"name": "t"}),
    ("api:enrollment-token", "DELETE"): _token(),
    ("api:enrollment-serials", "POST"): _token({"serials": ["s-2"]}),
    ("api:enrollment-serial", "DELETE"): _token(serial="s-1"),
    ("api:devices-approve", "POST"): _pending(),
    ("api:devices-reject", "POST"): _pending(),
    ("api:device", "PATCH"): _device({"name": "new"}),
    ("api:device-revoke", "POST"): _device(),
    ("api:device-rotate", "POST"): _device(),
    ("api:device-certificate", "PUT"): _device({"sha256": "c" * 64}),
    ("api:rollouts", "POST"): _rollout_wish,
    ("api:rollout-start", "POST"): _rollout(),
    ("api:rollout-pause", "POST"): _waiting_rollout("running"),
    ("api:rollout-resume", "POST"): _waiting_rollout("paused"),
    ("api:rollout-abort", "POST"): _rollout(),
    ("api:webhooks", "POST"): _fixed(HOOK),
    ("api:webhook", "PATCH"): _webhook({"enabled": False}),
    ("api:webhook", "DELETE"): _webhook(),
    ("api:webhook-rotate", "POST"): _webhook({}),
    ("api:webhook-ping", "POST"): _webhook(),
    ("api:webhook-redeliver", "POST"): _redelivery,
    ("account", "POST"): _fixed({"name": "ci", "scopes": ["read"], "days": 1}),
    ("password", "POST"): _fixed(
        {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    ),
    ("end-own-token", "POST"): _own_token,
    ("people", "POST"): _fixed({"username": "new", "grants": "viewer"}),
    ("person-verb", "POST"): _persons_token_form,
    ("build-patches", "POST"): _fixed({}, name="digits"),
    ("new-rollout", "POST"): _rollout_form,
    ("rollout-verb", "POST"): _rollout(verb="start"),
    ("pending-devices", "POST"): _pending({"verb": "approve"}),
    ("rotate-device", "POST"): _device(),
    ("revoke-device", "POST"): _device(),
    ("device-certificate", "POST"): _device({"sha256": "c" * 64}),
    ("new-enrollment-token", "POST"): _fixed({"name": "t", "mode": "open", "hours": 1}),
    ("enrollment-token", "POST"): _token({"serials": "s-2"}),
    ("revoke-enrollment-token", "POST"): _token(),
    ("webhooks", "POST"): _fixed(HOOK),
    ("webhook", "POST"): _webhook(HOOK),
    ("rotate-webhook", "POST"): _webhook(),
    ("webhook-verb", "POST"): _webhook(verb="disable"),
    ("redeliver", "POST"): _redelivery,
}


def unsafe_routes() -> set[tuple[str, str]]:
    """Name and method of everything that may write, by the URL configuration."""
    found = set()
    for name, _, view in ROUTES:
        api_view = getattr(view, "cls", None)
        methods = (
            {method for method in UNSAFE if hasattr(api_view, method.lower())}
            if api_view is not None
            else set(UNSAFE) & set(PAGES[name])
        )
        found |= {(name, method) for method in methods}
    return found


def test_every_route_that_writes_is_carried_out_below_or_has_a_reason() -> None:
    decided = set(SCENES) | set(UNRECORDED)
    assert sorted(unsafe_routes() - decided) == [], "routes that write and stand in neither table"
    assert sorted(decided - unsafe_routes()) == [], "routes that there are not"
    assert not set(SCENES) & set(UNRECORDED)


@pytest.mark.parametrize(("name", "method"), sorted(SCENES))
def test_change_leaves_a_record_of_who_did_it_from_where(name: str, method: str, settings: Any) -> None:
    settings.SMALLFLEET_RATES = dict.fromkeys(settings.SMALLFLEET_RATES, "")
    world = make_world()
    make_person("admin", "asker")
    ask = SCENES[name, method](world)
    last = AuditRecord.objects.latest("pk").pk
    response = _sent(world, name, method, ask)
    assert response.status_code < 300 or (response.status_code == 302 and "login" not in response["Location"]), (
        response.status_code,
        response.content[:500],
    )
    written = list(AuditRecord.objects.filter(pk__gt=last).order_by("pk"))
    assert written, "no audit record"
    assert {record.address for record in written} == {"127.0.0.1"}
    assert len({record.request_id for record in written}) == 1
    assert all(record.request_id for record in written)
    own = [record for record in written if record.actor != "system"]
    assert own, "nobody is named"
    assert any(record.before != record.after or record.detail or record.action in SAYS_ALL for record in own), written


def _sent(world: World, name: str, method: str, ask: Ask) -> Any:
    address = reverse(name, kwargs=dict(ask.where)) + ask.query
    if ask.as_device:
        return world.devices[AT].api.generic(method, address, json.dumps(ask.body), content_type="application/json")
    asker = User.objects.get(username="asker")
    if not name.startswith("api:"):
        pages = Client()
        pages.force_login(asker, backend="django.contrib.auth.backends.ModelBackend")
        return pages.post(address, ask.body or {})
    headers = {} if name == "api:enroll" else {"Authorization": f"Bearer {_quiet_token(asker)}"}
    body, kind = (
        (ask.body, "application/octet-stream")
        if isinstance(ask.body, bytes)
        else (json.dumps(ask.body or {}), "application/json")
    )
    if name == "api:metadata":
        kind = "application/json"
    return Client(headers=headers).generic(method, address, body, content_type=kind)


def _quiet_token(person: Any) -> str:
    """A token of the person whose own record is not counted."""
    secret = tokens.new_secret(tokens.PERSON_PREFIX)
    scopes = ["read", "publish", "operate", "administer"]
    ApiToken.objects.create(user=person, name="t", token_sha256=tokens.digest(secret), scopes=scopes)
    return secret


def test_each_kind_of_system_job_that_changes_what_devices_do_is_recorded() -> None:
    """A rollout that finishes by itself; the rest are in the tests of their jobs."""
    world = make_world()
    start_rollout(actor=SYSTEM, rollout=world.rollouts[AT])
    finished = AuditRecord.objects.get(action="finish_rollout")
    assert (finished.actor, finished.before, finished.after) == ("system", {"state": "running"}, {"state": "finished"})
