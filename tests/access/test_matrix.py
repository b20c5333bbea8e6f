"""The authorisation matrix: every route, every method, everybody who may ask, own and foreign model lines and groups.

The routes come from the URL configuration, what shall come of each from the one table in `decisions.py`: a route without a decision fails here.
`pytest tests/access/test_matrix.py -s` prints how large it is.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from access.audit.models import AuditRecord
from tests.access import decisions as table
from tests.access.decisions import API, HIDDEN, NO_METHOD, OK, PAGES, REFUSED, STRANGER, Decision
from tests.access.world import ASKERS, QUARTERS, Quarter, World, clients_of, make_world

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ADMIN_ROOT = "admin/"


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def _routes(
    patterns: list[URLPattern | URLResolver], path: str = "", namespace: str = ""
) -> Iterator[tuple[str, str, Any]]:
    for pattern in patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _routes(pattern.url_patterns, here, inner)
        else:
            yield namespace + (pattern.name or ""), here, pattern.callback


ROUTES = [route for route in _routes(get_resolver().url_patterns) if not route[1].startswith(ADMIN_ROOT)]
ADMIN_ROUTES = sorted({path for _, path, _ in _routes(get_resolver().url_patterns) if path.startswith(ADMIN_ROOT)})
DECIDED = {f"api:{name}" for name in API} | set(PAGES)


def test_every_route_has_a_decision_and_every_decision_a_route() -> None:
    named = {name for name, _, _ in ROUTES}
    assert sorted(named - DECIDED) == [], "routes without a decision in tests/access/decisions.py"
    assert sorted(DECIDED - named) == [], "decisions about routes that there are not"
    assert len(named) == len(ROUTES), "two routes of one name"


def test_every_method_of_an_api_view_has_a_decision() -> None:
    for name, _, view in ROUTES:
        view_class = getattr(view, "cls", None)
        if view_class is not None:
            written = {method for method in METHODS if hasattr(view_class, method.lower())} - {"HEAD"}
            assert written == set(API[name.removeprefix("api:")]), name


def _address(name: str, path: str, world: World, at: Quarter) -> str:
    line, group = at
    values = {
        "model": line, "name": group if "group" in name else "lte" if "link-class" in name else line,
        "version": "1.0.0", "variant": world.variants[line].name, "sha256": world.variants[line].artifact.sha256,
        "device_id": world.devices[at].row.pk, "rollout_id": world.rollouts[at].pk, "run_id": world.reports[at],
        "username": "owner", "serial": "s-1", "webhook_id": world.webhook and world.webhook.pk, "delivery_id": world.delivery.pk,
        "token_id": world.tokens[group].pk if "enrollment" in name else world.person_token and world.person_token.pk,
        "verb": "activate" if "person" in name else "ping" if "webhook" in name else "pause",
        "file": f"{world.variants[line].artifact.sha256}.fp32" if name.endswith("target") else "1.targets.json",
    }  # fmt: skip
    wanted = {part.rpartition(":")[2].rstrip(">") for part in path.split("<")[1:] for part in [part.partition(">")[0]]}
    return reverse(name, kwargs={key: values[key] for key in wanted})


def _outcome(response: HttpResponse, asked: str) -> str:
    status = response.status_code
    if status == 401 or (status == 302 and response.headers["Location"].startswith(("/login/?", "/admin/login/?"))):
        return STRANGER
    # A 404 of what is looked for below a thing that is seen (its metadata, say) is no refusal to see it; those have types of their own.
    if status == 404 and _problem(response) not in {"not-found", ""}:
        return OK
    if status >= 500 and status != 503:
        return f"{status} of {asked}"
    return {403: REFUSED, 404: HIDDEN, 405: NO_METHOD}.get(status, OK)


def _problem(response: HttpResponse) -> str:
    if not response.headers.get("Content-Type", "").startswith("application/problem+json") or response.streaming:
        return ""
    return str(json.loads(response.content or b"{}").get("type", "")).rpartition(":")[2]


def _ask(client: Client, method: str, address: str, *, decision: Decision | None, world: World, at: Quarter) -> str:
    """The outcome of one request, of which nothing stays."""
    body = decision.body(world, at) if decision and decision.body else None
    query = decision.query.format(line=at[0], group=at[1]) if decision else ""
    sent: dict[str, Any] = {}
    if method in {"POST", "PUT", "PATCH"}:
        if decision and decision.form and method == "POST":
            sent = {"data": body or {}}
        elif isinstance(body, bytes):
            sent = {"data": body, "content_type": "application/octet-stream"}
        else:
            sent = {"data": json.dumps({} if body is None else body), "content_type": "application/json"}
    cookies = client.cookies.copy()
    with transaction.atomic():
        response = getattr(client, method.lower())(address + query, **sent)
        if response.streaming:
            b"".join(response.streaming_content)  # which also closes the file behind it
        outcome = _outcome(response, f"{method} {address}{query}")
        transaction.set_rollback(True)
    client.cookies.update(cookies)  # a logout among the requests is rolled back too
    return outcome


@pytest.mark.parametrize("asker", ASKERS, ids=lambda asker: asker.replace(" ", "-") or "nothing-granted")
def test_matrix(world: World, asker: str, settings: Any) -> None:
    settings.SMALLFLEET_RATES = dict.fromkeys(settings.SMALLFLEET_RATES, "")
    clients = clients_of(asker, world)
    wrong, asked = [], Counter[str]()
    for name, path, _ in ROUTES:
        methods = API[name.removeprefix("api:")] if name.startswith("api:") else PAGES[name]
        client = clients.api if name.startswith("api:") else clients.pages
        for method in METHODS:
            decision = methods.get("GET" if method == "HEAD" and "HEAD" not in methods else method)
            if decision and decision.once and asker != "anonymous":
                continue
            for at in decision.quarters if decision else QUARTERS[:1]:
                got = _ask(client, method, _address(name, path, world, at), decision=decision, world=world, at=at)
                asked[got] += 1
                right = got == decision.rule(asker, at) if decision else got in {NO_METHOD, STRANGER, REFUSED, HIDDEN}
                if not right:
                    wanted = decision.rule(asker, at) if decision else NO_METHOD
                    wrong.append(f"{method} {name} of {'/'.join(at)}: {got}, not {wanted}")
    assert not wrong, "\n".join(wrong)
    print(f"\n{asker or 'nothing granted'}: {asked.total()} requests, {dict(asked)}")  # noqa: T201 - shown with -s


@pytest.mark.parametrize("asker", ["operator", "admin", "anonymous"])
def test_djangos_admin_is_for_admins_and_writes_nothing(world: World, asker: str) -> None:
    clients = clients_of(asker, world)
    for path in ADMIN_ROUTES:
        address = "/" + _plain(path)
        if address.startswith(("/admin/login/", "/admin/logout/")):
            continue
        for method in METHODS:
            with connection.execute_wrapper(_only_reads):
                outcome = _ask(clients.pages, method, address, decision=None, world=world, at=QUARTERS[0])
            assert asker == "admin" or outcome in {STRANGER, NO_METHOD, HIDDEN, REFUSED}, (
                f"{method} {address}: {outcome}"
            )


def _plain(path: str) -> str:
    return (
        path.replace("<path:object_id>", "1").replace("(?P<url>.*)$", "nothing").replace("<int:content_type_id>", "1")
    )


def _only_reads(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
    verb, _, rest = sql.partition(" ")
    assert verb not in {"INSERT", "UPDATE", "DELETE"} or "django_session" in rest, sql
    return execute(sql, params, many, context)


@pytest.mark.parametrize("asker", ["viewer@berlin", "operator:digits", "operator@berlin", "operator:digits@berlin"])
def test_buttons_change_nothing_for_those_who_are_refused(world: World, asker: str) -> None:
    """On pages a refusal may be told on the next page: here is that it is one."""
    clients = clients_of(asker, world)
    for at in QUARTERS:
        forbidden = []
        if table.operate_rollout(asker, at) != OK:
            forbidden += [f"/rollouts/{world.rollouts[at].pk}/{verb}/" for verb in ("start", "pause", "abort")]
        if table.operate_device(asker, at) != OK:
            forbidden += [
                f"/devices/{world.devices[at].row.pk}/{verb}/" for verb in ("revoke", "rotate", "certificate")
            ]
        before = AuditRecord.objects.count()
        for address in forbidden:
            clients.pages.post(address)
        assert AuditRecord.objects.count() == before, forbidden
