"""Who may see a page and who may press its buttons."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from access.actors import Actor, actor_of
from access.errors import ProblemError
from access.models import Scope
from access.problems import problem_response

# An agent speaks HTTP without TLS only to these, unless it is told otherwise.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

BUILDERS = (Scope.OPERATE, Scope.PUBLISH)

P = ParamSpec("P")
PersonView = Callable[Concatenate[HttpRequest, Actor, P], HttpResponse]
RequestView = Callable[Concatenate[HttpRequest, P], HttpResponse]


def _for_people(view: PersonView[P], *scopes: Scope) -> RequestView[P]:
    @wraps(view)
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        actor = actor_of(request)
        if scopes and actor.scopes.isdisjoint(scopes):
            needed = " or ".join(f"`{scope.value}`" for scope in scopes)
            raise PermissionDenied(f"{actor.name} has no role that allows {needed}; ask an admin for one")
        try:
            return view(request, actor, *args, **kwargs)
        except ProblemError as problem:
            return problem_response(request, problem)

    return never_cache(login_required(checked))


def page(view: PersonView[P]) -> RequestView[P]:
    """A page for everybody who may read; others are sent to the login page, or told what they lack."""
    return require_safe(_for_people(view, Scope.READ))


def operators_page(view: PersonView[P]) -> RequestView[P]:
    """A page with a form that changes the fleet: operators and admins only, also to look."""
    return require_http_methods(["GET", "HEAD", "POST"])(_for_people(view, Scope.OPERATE))


def admins_page(view: PersonView[P]) -> RequestView[P]:
    """A page with a form that changes people: admins only, also to look."""
    return require_http_methods(["GET", "HEAD", "POST"])(_for_people(view, Scope.ADMINISTER))


def administration(view: PersonView[P]) -> RequestView[P]:
    """A form's POST that changes people: admins only."""
    return require_POST(_for_people(view, Scope.ADMINISTER))


def known_page(view: PersonView[P]) -> RequestView[P]:
    """A page with a form about the person who looks: everybody who is logged in, whatever is granted to them."""
    return require_http_methods(["GET", "HEAD", "POST"])(_for_people(view))


def known_operation(view: PersonView[P]) -> RequestView[P]:
    """A form's POST about the person who sends it."""
    return require_POST(_for_people(view))


def operation(view: PersonView[P]) -> RequestView[P]:
    """A form's POST that changes the fleet: operators and admins only."""
    return require_POST(_for_people(view, Scope.OPERATE))


def patch_operation(view: PersonView[P]) -> RequestView[P]:
    """A form's POST that has patches built: publishers too, who know what they will publish next."""
    return require_POST(_for_people(view, *BUILDERS))


def render_page(
    request: HttpRequest, actor: Actor, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render a page with what every page needs: who looks, and what they may press."""
    server_url = request.build_absolute_uri("/").rstrip("/")
    shared = {
        "actor": actor,
        "may_operate": Scope.OPERATE in actor.scopes,
        "may_build": not actor.scopes.isdisjoint(BUILDERS),
        "may_administer": Scope.ADMINISTER in actor.scopes,
        "server_is_in_clear": not request.is_secure() and urlsplit(server_url).hostname not in LOOPBACK,
        "server_url": server_url,
    }
    return render(request, template, {**shared, **context}, status=status)


def carry_out(request: HttpRequest, done: str, verb: Callable[[], object], *, then: str) -> HttpResponse:
    """Call one service, say on the next page what came of it, and go to `then`.

    A refusal is not an error of the page: the person reads why, beside what they tried to change.
    """
    try:
        verb()
    except ProblemError as problem:
        messages.error(request, f"{problem.title}. {problem.detail}".strip())
    else:
        messages.success(request, done)
    return redirect(then)
