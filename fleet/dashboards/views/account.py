"""Logging in, and what a person may change of their own: the password and the tokens."""

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login as log_in
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from access import oidc
from access.actors import Actor, actor_of_user
from access.audit.recording import record_audit
from access.errors import NotFound, PermissionRefused, ProblemError
from access.people import tokens_of
from access.problems import problem_response
from access.services import create_token, revoke_token
from fleet.dashboards.forms import TokenForm
from fleet.dashboards.people import known_operation, known_page, render_page

_NEXT = "oidc_next"


class PasswordLoginView(LoginView):
    """Name and password, and a link to the identity provider where there is one."""

    template_name = "dashboards/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, has_provider=oidc.is_configured())


@require_safe
@never_cache
def provider_login(request: HttpRequest) -> HttpResponse:
    """Send the browser to the identity provider."""
    _check_configured()
    wanted = request.GET.get("next", "")
    request.session[_NEXT] = wanted if _is_ours(request, wanted) else ""
    try:
        return oidc.authorization_redirect(request, back=request.build_absolute_uri(reverse("provider-back")))
    except ProblemError as problem:
        return problem_response(request, problem)


@require_safe
@never_cache
def provider_back(request: HttpRequest) -> HttpResponse:
    """Let in whom the identity provider vouches for, in a new session."""
    _check_configured()
    wanted = request.session.pop(_NEXT, "")
    try:
        person = oidc.person_of(oidc.claims_from(request))
    except ProblemError as problem:
        return problem_response(request, problem)
    log_in(request, person, backend="django.contrib.auth.backends.ModelBackend")
    return redirect(wanted or "overview")


def _check_configured() -> None:
    if not oidc.is_configured():
        raise Http404("no identity provider is configured")


def _is_ours(request: HttpRequest, address: str) -> bool:
    return url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )


@method_decorator(never_cache, name="dispatch")
class OwnPasswordView(PasswordChangeView):
    """A new password, with the old one; every other session of the person ends."""

    template_name = "dashboards/password.html"
    success_url = reverse_lazy("account")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        person = request.user
        if isinstance(person, User) and not person.has_usable_password():
            return problem_response(
                request, PermissionRefused("you log in with the identity provider; change it there")
            )
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        person = cast(User, self.request.user)
        with transaction.atomic():
            response = super().form_valid(form)
            record_audit(actor=actor_of_user(person), action="change_password", subject=person.username)
        messages.success(self.request, "Your password is changed.")
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, actor=actor_of_user(cast(User, self.request.user)), section="account")


@known_page
def account(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What the person may do, and their tokens; the form makes one, which is shown this once."""
    person = cast(User, request.user)
    form = TokenForm(request.POST or None, actor=actor)
    secret, status = "", 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                secret, status = create_token(actor=actor, user=person, **form.wanted())[1], 201
            except ProblemError as problem:
                messages.error(request, f"{problem.title}. {problem.detail}")
    context = {"section": "account", "form": form, "secret": secret, "tokens": tokens_of(person), "person": person}
    return render_page(request, actor, "dashboards/account.html", context, status=status)


@known_operation
def end_own_token(request: HttpRequest, actor: Actor, token_id: UUID) -> HttpResponse:
    """End a token of one's own."""
    try:
        revoke_token(actor=actor, user=cast(User, request.user), token_id=token_id)
    except NotFound as problem:
        return problem_response(request, problem)
    messages.success(request, "The token has ended.")
    return redirect("account")
