"""People: the list, one person with their grants and tokens, and the buttons; for admins."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from access import people as verbs
from access.actors import Actor
from access.errors import InvalidInput, ProblemError
from access.grants import GrantSpec, parse_grant
from access.models import Grant, Role
from fleet.dashboards.people import administration, admins_page, carry_out, render_page
from fleet.devices.models import Group
from registry.models import ModelLine

DONE = {
    "grants": "The grants are changed.",
    "activate": "Switched on.",
    "deactivate": "Switched off: no session and no token of theirs is let in any more.",
    "password": "The password is changed; sessions that were open have ended.",
    "revoke-token": "The token has ended.",
}


@admins_page
def people(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Everybody, and a form for somebody new."""
    typed = {"username": "", "grants": ""}
    status = 200
    if request.method == "POST":
        typed = {name: request.POST.get(name, "") for name in typed}
        try:
            return _create(request, actor, **typed)
        except ProblemError as problem:
            messages.error(request, f"{problem.title}. {problem.detail}")
            status = problem.status
    context = {"section": "people", "people": verbs.people(), "typed": typed, **_names()}
    return render_page(request, actor, "dashboards/people.html", context, status=status)


def _create(request: HttpRequest, actor: Actor, *, username: str, grants: str) -> HttpResponse:
    password = verbs.new_password() if request.POST.get("with_password") else None
    made = verbs.create_person(actor=actor, username=username, password=password, grants=_parsed(grants))
    messages.success(
        request, f"{made.username} is made." + (f" Password, shown this once: {password}" if password else "")
    )
    return redirect("person", made.username)


def _parsed(text: str) -> list[GrantSpec]:
    """Grants with blanks or line ends between them."""
    return [parse_grant(each) for each in text.split()]


def _names() -> dict[str, Any]:
    """What grants may name, for the words beside the field."""
    return {
        "roles": [role.value for role in Role],
        "line_names": list(ModelLine.objects.values_list("name", flat=True)),
        "group_names": list(Group.objects.values_list("name", flat=True)),
    }


@require_safe
@admins_page
def person(request: HttpRequest, actor: Actor, username: str) -> HttpResponse:
    """One person: what they may do and where, and their tokens."""
    shown = get_object_or_404(verbs.people(), username=username)
    given = [grant for grant in shown.grants.all() if grant.source == Grant.Source.PEOPLE]
    context = {
        "section": "people",
        "person": shown,
        "grants": verbs.specs_of(shown),
        "given": "\n".join(str(GrantSpec(Role(one.role), one.model_line, one.group)) for one in given),
        "follows_provider": bool(shown.identities.all()),
        "tokens": verbs.tokens_of(shown),
        **_names(),
    }
    return render_page(request, actor, "dashboards/person.html", context)


@administration
def change_person(request: HttpRequest, actor: Actor, username: str, verb: str) -> HttpResponse:
    """A button of a person's page: one service, then the page again."""
    shown = get_object_or_404(verbs.people(), username=username)
    acts: dict[str, Callable[[], object]] = {
        "grants": lambda: verbs.set_grants(actor=actor, user=shown, grants=_parsed(request.POST.get("grants", ""))),
        "activate": lambda: verbs.set_active(actor=actor, user=shown, is_active=True),
        "deactivate": lambda: verbs.set_active(actor=actor, user=shown, is_active=False),
        "password": lambda: _new_password(request, actor, shown),
        "revoke-token": lambda: verbs.end_token_of(actor=actor, user=shown, token_id=_token_id(request)),
    }
    if verb not in acts:
        raise Http404(f"a person cannot be given {verb}")
    return carry_out(request, DONE[verb], acts[verb], then=reverse("person", args=[username]))


def _new_password(request: HttpRequest, actor: Actor, person: User) -> None:
    password = verbs.new_password()
    verbs.set_password(actor=actor, user=person, password=password)
    messages.success(request, f"Password of {person.username}, shown this once: {password}")


def _token_id(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("token", ""))
    except ValueError as error:
        raise InvalidInput("the form names no token") from error
