"""Rollouts: the list, planning one with its forecast, one with its progress and ledger, and the buttons."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from access.actors import Actor
from access.errors import ProblemError
from fleet.dashboards.forms import RolloutForm
from fleet.dashboards.people import carry_out, operation, operators_page, page, render_page
from fleet.dashboards.queries.history import attempts_under, shadow_runs_of
from fleet.dashboards.queries.rollouts import progress_of, rollout_page
from fleet.devices.models import Group
from fleet.devices.visibility import installation_condition
from fleet.ledger.queries import VariantCost, cost_of_variant
from fleet.rollouts import services
from fleet.rollouts.engine import LIVE, TRANSITIONS, Verb
from fleet.rollouts.queries import rollouts_detailed
from fleet.rollouts.visibility import may_roll_out, operates_line, rollout_condition, visible_rollouts
from registry.models import Variant

ROLLOUTS_PER_PAGE = 25
ATTEMPTS_PER_PAGE = 25
DEVICES_IN_LEDGER = 25

DONE = {
    Verb.START: "The rollout runs.",
    Verb.PAUSE: "The rollout is paused: no device starts or finishes until it is resumed.",
    Verb.RESUME: "The rollout runs again.",
    Verb.ABORT: "The rollout is aborted.",
}


@page
def rollouts(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every rollout, newest first."""
    shown = Paginator(rollouts_detailed().filter(rollout_condition(actor)), ROLLOUTS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {"section": "rollouts", "rollouts": shown, "progresses": progress_of(shown)}
    return render_page(request, actor, "dashboards/rollouts.html", context)


@operators_page
def new_rollout(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Choose target and cohort, see what it will cost, create it."""
    if request.method == "POST":
        return _create(request, actor)
    asked = {"wait_for_delta_s": RolloutForm.WAIT_S, **request.GET.dict()} if "variant" in request.GET else None
    form = RolloutForm(asked, actor=actor, initial={"wait_for_delta_s": RolloutForm.WAIT_S})
    return _plan(request, actor, form, status=400 if form.is_bound and not form.is_valid() else 200)


def _create(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = RolloutForm(request.POST, actor=actor)
    if not form.is_valid():
        return _plan(request, actor, form, status=400)
    try:
        rollout = services.open_rollout(
            actor=actor,
            target=form.cleaned_data["variant"],
            group=form.cleaned_data["group"],
            wait_for_delta_s=form.cleaned_data["wait_for_delta_s"],
            created_by=request.user if isinstance(request.user, User) else None,
            start="start" in request.POST,
        )
    except ProblemError as problem:
        messages.error(request, f"{problem.title}. {problem.detail}")
        return _plan(request, actor, form, status=problem.status)
    return redirect("rollout", rollout.pk)


def _plan(request: HttpRequest, actor: Actor, form: RolloutForm, *, status: int) -> HttpResponse:
    """The planning page, with the forecast as soon as a variant is chosen."""
    # Also of a form with a mistake elsewhere: what was chosen rightly is kept.
    chosen = form.cleaned_data if form.is_bound else {}
    variant, group = chosen.get("variant"), chosen.get("group")
    cost = _cost(actor, variant, group) if variant is not None else None
    context = {"section": "rollouts", "form": form, "cost": cost, "group": group}
    return render_page(request, actor, "dashboards/new_rollout.html", context, status=status)


def _cost(actor: Actor, variant: Variant, group: Group | None) -> VariantCost:
    """What it will cost; for an operator of a group, on the devices that were put into it."""
    fixed = not operates_line(actor, model=variant.version.model_line.name)
    return cost_of_variant(variant=variant, group=group, fixed=fixed, among=installation_condition(actor))


@page
def rollout(request: HttpRequest, actor: Actor, rollout_id: UUID) -> HttpResponse:
    """One rollout: how far it is, what it costs against its forecast, and why attempts failed."""
    return render_page(request, actor, "dashboards/rollout.html", _shown(request, actor, rollout_id))


@page
def rollout_live(request: HttpRequest, actor: Actor, rollout_id: UUID) -> HttpResponse:
    """The part of the rollout's page that changes while it runs."""
    context = _shown(request, actor, rollout_id)
    response = render_page(request, actor, "dashboards/_rollout_live.html", context)
    response["X-Rollout-State"] = context["rollout"].state
    return response


def _shown(request: HttpRequest, actor: Actor, rollout_id: UUID) -> dict[str, Any]:
    shown = get_object_or_404(rollouts_detailed().filter(rollout_condition(actor)), pk=rollout_id)
    verbs = [verb.value for state, verb in TRANSITIONS if state == shown.state and verb is not Verb.FINISH]
    read = rollout_page(shown, actor=actor, device_limit=DEVICES_IN_LEDGER)
    attempts = Paginator(attempts_under(shown, actor=actor), ATTEMPTS_PER_PAGE).get_page(request.GET.get("page"))
    return {
        "section": "rollouts",
        "rollout": shown,
        "line": shown.target.version.model_line,
        "page": read,
        "attempts": attempts,
        "attempts_with_shadow": shadow_runs_of(list(attempts)),
        "is_live": shown.state in LIVE,
        "may_operate": may_roll_out(actor, shown),
        "verbs": verbs,
        "can_roll_back": Verb.ABORT in verbs and read.progress.succeeded > 0,
        "poll_after_s": settings.SMALLFLEET_POLL_AFTER_S,
    }


@operation
def change_rollout(request: HttpRequest, actor: Actor, rollout_id: UUID, verb: str) -> HttpResponse:
    """A button of a rollout's page: one service, then the page again."""
    shown = get_object_or_404(visible_rollouts(actor), pk=rollout_id)
    roll_back = request.POST.get("roll_back") == "yes"
    acts = {
        Verb.START: lambda: services.start_rollout(actor=actor, rollout=shown),
        Verb.PAUSE: lambda: services.pause_rollout(actor=actor, rollout=shown),
        Verb.RESUME: lambda: services.resume_rollout(actor=actor, rollout=shown),
        Verb.ABORT: lambda: services.abort_rollout(actor=actor, rollout=shown, roll_back=roll_back),
    }
    if verb not in acts:
        raise Http404(f"a rollout cannot {verb}")
    return carry_out(request, DONE[Verb(verb)], acts[Verb(verb)], then=reverse("rollout", args=[rollout_id]))
