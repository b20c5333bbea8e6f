"""The decision table: for every route and method, who may, who is refused, and for whom the thing is not there.

An oracle of its own: it knows the grants in words, and nothing of how the server finds out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.access.world import DEVICES, GROUPS, LINES, NARROWED, PEOPLE, QUARTERS, STRANGERS, Quarter, World
from tests.factories.studies import study_document

OK, REFUSED, HIDDEN, STRANGER, NO_METHOD = "ok", "refused", "hidden", "stranger", "no such method"

_ROLE_SCOPES = {
    "viewer": {"read"},
    "operator": {"read", "operate"},
    "publisher": {"read", "publish"},
    "admin": {"read", "operate", "publish", "administer"},
}
Held = tuple[set[str], str | None, str | None]


def grants_of(asker: str) -> list[Held]:
    """Scopes, model line and group of each grant; None is all."""
    if asker in NARROWED:
        line, group = NARROWED[asker]
        return [({"read", "operate"} if group else {"read", "operate", "publish"}, line, group)]
    held: list[Held] = []
    for text in asker.split() if asker in PEOPLE else ():
        rest, _, group = text.partition("@")
        role, _, line = rest.partition(":")
        held.append((_ROLE_SCOPES[role], line or None, group or None))
    return held


def may(asker: str, scope: str, *, line: str = "some", group: str = "some") -> bool:
    """Whether a grant has the scope for this line and group; `all` takes an unrestricted one, `some` any."""

    def within(held: str | None, asked: str) -> bool:
        return held is None or asked in {"some", held}

    return any(
        scope in scopes and within(of_line, line) and within(of_group, group)
        for scopes, of_line, of_group in grants_of(asker)
    )


Rule = Callable[[str, Quarter], str]


def _people_only(rule: Rule) -> Rule:
    """The rule for people; for others what every route of people answers."""

    def decided(asker: str, quarter: Quarter) -> str:
        if asker in STRANGERS:
            return STRANGER
        return REFUSED if asker in DEVICES else rule(asker, quarter)

    return decided


def everybody(asker: str, quarter: Quarter) -> str:
    """Open on purpose."""
    return OK


def nobody(asker: str, quarter: Quarter) -> str:
    """Not there."""
    return HIDDEN


def known(asker: str, quarter: Quarter) -> str:
    """Whoever has a credential that is good."""
    if asker in STRANGERS:
        return STRANGER
    return REFUSED if asker == "pending device" else OK


def device_only(asker: str, quarter: Quarter) -> str:
    """An approved device."""
    if asker in STRANGERS:
        return STRANGER
    return OK if asker == "device" else REFUSED


def or_device(rule: Rule, *, device: Callable[[Quarter], str]) -> Rule:
    """The rule for people, and another for the device (of digits, in berlin)."""

    def decided(asker: str, quarter: Quarter) -> str:
        return device(quarter) if asker == "device" else rule(asker, quarter)

    return decided


@_people_only
def person(asker: str, quarter: Quarter) -> str:
    """Any person, about themselves."""
    return OK


def scope(name: str) -> Rule:
    """Whoever has the scope anywhere: a list shows what is theirs."""
    return _people_only(lambda asker, _: OK if may(asker, name) else REFUSED)


def everywhere(*names: str) -> Rule:
    """Whoever has one of the scopes without any restriction."""
    return _people_only(
        lambda asker, _: OK if any(may(asker, name, line="all", group="all") for name in names) else REFUSED
    )


def of_line(*names: str, every_group: bool, needs: str = "") -> Rule:
    """One of the scopes for the line, in every group or in any; the line is not there for whoever may not see it.

    `needs` is the scope without which the route is closed before anything is looked up, where that is another.
    """

    def decided(asker: str, quarter: Quarter) -> str:
        if not any(may(asker, name) for name in (needs.split() or names)):
            return REFUSED
        if not may(asker, "read", line=quarter[0]):
            return HIDDEN
        group = "all" if every_group else "some"
        return OK if any(may(asker, name, line=quarter[0], group=group) for name in names) else REFUSED

    return _people_only(decided)


read_line = of_line("read", every_group=False)
read_whole_line = of_line("read", every_group=True)
publish_line = of_line("publish", every_group=True)


def in_quarter(name: str, *, whole: bool = False) -> Rule:
    """The scope in the quarter, with `whole` for all lines there; the thing is not there for whoever may not see the quarter."""

    def decided(asker: str, quarter: Quarter) -> str:
        line, group = quarter
        if not may(asker, name):
            return REFUSED
        if not may(asker, "read", line=line, group=group):
            return HIDDEN
        return OK if may(asker, name, line="all" if whole else line, group=group) else REFUSED

    return _people_only(decided)


read_quarter = in_quarter("read")
operate_rollout = in_quarter("operate")
operate_device = in_quarter("operate", whole=True)


@_people_only
def read_group(asker: str, quarter: Quarter) -> str:
    """A group is there for those of whom a grant is for it, or for every one."""
    if not may(asker, "read"):
        return REFUSED
    return OK if may(asker, "read", group=quarter[1]) else HIDDEN


@_people_only
def delete_group(asker: str, quarter: Quarter) -> str:
    if not may(asker, "operate"):
        return REFUSED
    if not may(asker, "read", group=quarter[1]):
        return HIDDEN
    return OK if may(asker, "operate", line="all", group="all") else REFUSED


@_people_only
def enrollment_token(asker: str, quarter: Quarter) -> str:
    """A token is there for those who operate its devices with all their lines."""
    if not may(asker, "operate"):
        return REFUSED
    return OK if may(asker, "operate", line="all", group=quarter[1]) else HIDDEN


@_people_only
def make_enrollment_token(asker: str, quarter: Quarter) -> str:
    return OK if may(asker, "operate", line="all", group=quarter[1]) else REFUSED


@_people_only
def pending_device(asker: str, quarter: Quarter) -> str:
    """One that waits has no model line yet: it is there for grants of every line in its group."""
    if not may(asker, "operate"):
        return REFUSED
    if not may(asker, "read", line="all", group=quarter[1]):
        return HIDDEN
    return OK if may(asker, "operate", line="all", group=quarter[1]) else REFUSED


@_people_only
def open_rollout(asker: str, quarter: Quarter) -> str:
    line, group = quarter
    if not may(asker, "operate"):
        return REFUSED
    if not may(asker, "read", line=line) or not may(asker, "read", group=group):
        return HIDDEN
    return OK if may(asker, "operate", line=line, group=group) else REFUSED


@_people_only
def costs_in_group(asker: str, quarter: Quarter) -> str:
    if not may(asker, "read"):
        return REFUSED
    return OK if may(asker, "read", line=quarter[0]) and may(asker, "read", group=quarter[1]) else HIDDEN


def _own_line(quarter: Quarter) -> str:
    return OK if quarter[0] == "digits" else HIDDEN


@dataclass(frozen=True)
class Decision:
    """One method of a route.

    Attributes:
        rule: who may.
        quarters: the ones that make a difference.
        body: what is sent, so that a service is reached; of the world and the quarter.
        query: after the address.
        form: the body is a form's.
        once: it is asked by a stranger alone; making the answer takes a second, and is the same for everybody.
    """

    rule: Rule
    quarters: tuple[Quarter, ...] = (QUARTERS[0],)
    body: Callable[[World, Quarter], Any] | None = None
    query: str = ""
    form: bool = False
    once: bool = False


BY_LINE: tuple[Quarter, ...] = tuple((line, "berlin") for line in LINES)
BY_GROUP: tuple[Quarter, ...] = tuple(("digits", group) for group in GROUPS)


def line(rule: Rule, body: Any = None, **about: Any) -> Decision:
    return Decision(rule, BY_LINE, _fixed(body), **about)


def group(rule: Rule, body: Any = None, **about: Any) -> Decision:
    return Decision(rule, BY_GROUP, _fixed(body), **about)


def quarter(rule: Rule, body: Any = None, **about: Any) -> Decision:
    return Decision(rule, QUARTERS, _fixed(body), **about)


def one(rule: Rule, body: Any = None, **about: Any) -> Decision:
    return Decision(rule, body=_fixed(body), **about)


def _fixed(body: Any) -> Callable[[World, Quarter], Any] | None:
    return body if callable(body) or body is None else partial(_same, body)


def _same(body: Any, world: World, quarter: Quarter) -> Any:
    return body


form = partial(quarter, form=True)
_administer, _operate_all = everywhere("administer"), everywhere("operate")
_read, _operate = scope("read"), scope("operate")
_measured = {"metric": "accuracy", "value": 0.9, "sample_count": 10, "dataset_sha256": "a" * 64}


def _rollout_wish(world: World, at: Quarter) -> dict[str, Any]:
    return {"model": at[0], "version": "1.0.0", "variant": world.variants[at[0]].name, "group": at[1]}


def _rollout_form(world: World, at: Quarter) -> dict[str, Any]:
    return {"variant": world.variants[at[0]].pk, "group": world.groups[at[1]].pk, "wait_for_delta_s": 0}


def _pending(world: World, at: Quarter) -> dict[str, Any]:
    return {"devices": [str(world.pending[at[1]].row.pk)]}


def _token_wish(world: World, at: Quarter) -> dict[str, Any]:
    return {"name": "t", "attributes": {"site": at[1]}}


def _variant_wish(world: World, at: Quarter) -> dict[str, Any]:
    return {"sha256": world.variants[at[0]].artifact.sha256}


def _version_wish(world: World, at: Quarter) -> dict[str, Any]:
    return {"contract_sha256": world.variants[at[0]].version.contract.sha256}


def _study(world: World, at: Quarter) -> dict[str, Any]:
    return study_document(at[0])  # the name in the address is the line's


API: dict[str, dict[str, Decision]] = {
    "openapi": {"GET": one(everybody, once=True)},
    "enroll": {"POST": one(everybody, {})},  # 400 for want of a name: nobody is turned away before
    "whoami": {"GET": one(known)},
    "tokens": {"GET": one(person), "POST": one(person, {"name": "x", "scopes": ["read"]})},
    "token": {"DELETE": one(lambda asker, at: HIDDEN if person(asker, at) == OK else person(asker, at))},  # another's
    "people": {"GET": one(_administer), "POST": one(_administer, {"username": "new", "grants": []})},
    "person": {"GET": one(_administer), "PATCH": one(_administer, {"is_active": True})},
    "person-tokens": {"GET": one(_administer)},
    "person-token": {"DELETE": one(_administer)},
    "audit": {"GET": one(_administer)},
    "audit-head": {"GET": one(_administer)},
    "audit-export": {"GET": one(_administer)},
    "artifact": {
        "GET": line(or_device(read_line, device=_own_line)),
        "PUT": one(scope("publish"), b"x", query="?kind=contract"),
    },
    "models": {"GET": one(_read), "POST": line(everywhere("publish"), {"name": "new"})},
    "model": {"GET": line(read_line)},
    "budget": {
        "GET": line(read_line),
        "PUT": line(_administer, {"limits": {}}),
    },
    "deltas": {"GET": line(read_line)},
    "studies": {"GET": line(read_line)},
    "study": {"GET": line(read_line), "PUT": line(publish_line, _study)},
    "version": {"GET": line(read_line), "PUT": line(publish_line, _version_wish)},
    "publish": {"POST": line(publish_line, {})},
    "yank": {"POST": line(publish_line, {"reason": "x"})},
    "variant": {"PUT": line(publish_line, _variant_wish)},
    "evaluations": {"POST": line(publish_line, _measured)},
    "online-keys": {"GET": one(scope("publish"))},
    "trust": {"GET": line(read_line)},
    "trust-news": {
        "GET": line(or_device(read_line, device=_own_line), query="?root=0&timestamp=0&snapshot=0&targets=0")
    },
    "metadata": {"GET": line(or_device(read_line, device=_own_line)), "PUT": line(publish_line, b"{}")},
    "target": {"GET": line(or_device(read_line, device=_own_line))},
    "link-classes": {"GET": one(_read), "POST": one(_operate_all, {"name": "new", "price_per_mb": "1"})},
    "link-class": {"GET": one(_read), "PATCH": one(_operate_all, {"metered": True})},
    "groups": {"GET": one(_read), "POST": one(_operate_all, {"name": "new", "query": "site=x"})},
    "group": {"GET": group(read_group), "DELETE": group(delete_group)},
    "enrollment-tokens": {"GET": one(_operate), "POST": group(make_enrollment_token, _token_wish)},
    "enrollment-token": {"DELETE": group(enrollment_token)},
    "enrollment-serials": {"GET": group(enrollment_token), "POST": group(enrollment_token, {"serials": ["s-2"]})},
    "enrollment-serial": {"DELETE": group(enrollment_token)},
    "credential": {"PUT": one(device_only, {"sha256": "a" * 64})},
    "devices": {"GET": one(_read)},
    "devices-approve": {"POST": group(pending_device, _pending)},
    "devices-reject": {"POST": group(pending_device, _pending)},
    "device": {"GET": quarter(read_quarter), "PATCH": quarter(operate_device, {"name": "new"})},
    "device-revoke": {"POST": quarter(operate_device)},
    "device-rotate": {"POST": quarter(operate_device)},
    "device-certificate": {"PUT": quarter(operate_device, {"sha256": None})},
    "poll": {"GET": one(device_only), "POST": one(device_only, {})},
    "events": {"POST": one(device_only, {"events": []})},
    "patch-plan": {
        "GET": line(read_whole_line),
        "POST": line(of_line("operate", "publish", every_group=True), {}),
    },
    "rollouts": {"GET": one(_read), "POST": quarter(open_rollout, _rollout_wish)},
    "rollout": {"GET": quarter(read_quarter)},
    "rollout-start": {"POST": quarter(operate_rollout)},
    "rollout-pause": {"POST": quarter(operate_rollout)},
    "rollout-resume": {"POST": quarter(operate_rollout)},
    "rollout-abort": {"POST": quarter(operate_rollout, {})},
    "costs": {"GET": quarter(costs_in_group, query="?group={group}")},
    "rollout-ledger": {"GET": quarter(read_quarter)},
    "reports": {"GET": one(_read), "POST": one(device_only, {"reports": []})},
    "report": {"GET": quarter(read_quarter)},
    "budget-check": {"GET": line(read_line)},
    "model-benchmarks": {"GET": line(read_line)},
    "webhooks": {"GET": one(_administer), "POST": one(_administer, {})},
    "webhook": {"GET": one(_administer), "PATCH": one(_administer, {}), "DELETE": one(_administer)},
    "webhook-rotate": {"POST": one(_administer, {})},
    "webhook-ping": {"POST": one(_administer, {})},
    "webhook-deliveries": {"GET": one(_administer)},
    "webhook-redeliver": {"POST": one(_administer, {})},
}


def _on_pages(rule: Rule) -> Rule:
    """On pages a token or a credential is nobody: whoever has no session is sent to log in."""
    return lambda asker, at: rule(asker, at) if asker in PEOPLE else STRANGER


def page(decision: Decision) -> Decision:
    return Decision(_on_pages(decision.rule), decision.quarters, decision.body, decision.query, form=True)


PAGES: dict[str, dict[str, Decision]] = {
    "login": {"GET": one(everybody), "POST": one(everybody, {}, form=True), "PUT": one(everybody, {}, form=True)},
    # Off unless configured.
    "provider-login": {"GET": one(nobody)},
    "provider-back": {"GET": one(nobody)},
    "logout": {"POST": one(everybody, {}, form=True)},
    "account": {"GET": page(one(person)), "POST": page(one(person, {}))},
    "password": {"GET": page(one(person)), "POST": page(one(person, {})), "PUT": page(one(person, {}))},
    "end-own-token": {"POST": page(one(lambda asker, at: HIDDEN if person(asker, at) == OK else REFUSED))},  # another's
    "people": {"GET": page(one(_administer)), "POST": page(one(_administer, {}))},
    "person": {"GET": page(one(_administer))},
    "person-verb": {"POST": page(one(_administer, {}))},
    "overview": {"GET": page(one(_read))},
    "model-lines": {"GET": page(one(_read))},
    "model-line": {"GET": page(line(read_line))},
    "patches": {"GET": page(line(read_whole_line))},
    "studies": {"GET": page(line(read_line))},
    "study": {"GET": page(line(read_line))},
    "build-patches": {"POST": page(line(of_line("operate", "publish", every_group=True), {}))},
    "rollouts": {"GET": page(one(_read))},
    "new-rollout": {
        "GET": page(one(_operate)),
        # What somebody may not choose is no choice of the form: 400 beside the field, and nothing is made.
        "POST": page(one(_operate, _rollout_form)),
    },
    "rollout": {"GET": page(quarter(read_quarter))},
    "rollout-live": {"GET": page(quarter(read_quarter))},
    # A refusal is told on the next page: `test_pages_change_nothing_for_those_who_are_refused`.
    "rollout-verb": {"POST": page(quarter(lambda asker, at: _told(operate_rollout, asker, at), {}))},
    "devices": {"GET": page(one(_read))},
    "device": {"GET": page(quarter(read_quarter))},
    "pending-devices": {"GET": page(one(_operate)), "POST": page(one(_operate, {}))},
    "rotate-device": {"POST": page(quarter(lambda asker, at: _told(operate_device, asker, at), {}))},
    "revoke-device": {"POST": page(quarter(lambda asker, at: _told(operate_device, asker, at), {}))},
    "device-certificate": {"POST": page(quarter(lambda asker, at: _told(operate_device, asker, at), {}))},
    "enrollment-tokens": {"GET": page(one(_operate))},
    "new-enrollment-token": {"GET": page(one(_operate)), "POST": page(one(_operate, {}))},
    "enrollment-token": {"GET": page(group(enrollment_token)), "POST": page(group(enrollment_token, {}))},
    "revoke-enrollment-token": {"POST": page(group(enrollment_token, {}))},
    "benchmarks": {"GET": page(one(_read))},
    "audit": {"GET": page(one(_administer))},
    "webhooks": {"GET": page(one(_administer)), "POST": page(one(_administer, {}))},
    "webhook": {"GET": page(one(_administer)), "POST": page(one(_administer, {}))},
    "rotate-webhook": {"POST": page(one(_administer, {}))},
    "webhook-verb": {"POST": page(one(_administer, {}))},
    "redeliver": {"POST": page(one(_administer, {}))},
}


def _told(rule: Rule, asker: str, at: Quarter) -> str:
    """What is refused although it is seen, where the scope is held: the button leads back to the page, which says why."""
    decided = rule(asker, at)
    return OK if decided == REFUSED and may(asker, "operate") else decided


def decisions() -> Iterator[tuple[str, str, Decision]]:
    """Route (with `api:` before those of the API), method, decision; HEAD is as GET."""
    for prefix, table in (("api:", API), ("", PAGES)):
        for route, methods in table.items():
            for method, decision in methods.items():
                yield prefix + route, method, decision
                if method == "GET":
                    yield prefix + route, "HEAD", decision
