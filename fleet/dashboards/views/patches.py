"""The patches of a model line: the matrix, what is missing and why, and having it built."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from access.actors import Actor
from access.models import Scope
from fleet.dashboards.forms import PatchBudgetForm
from fleet.dashboards.people import BUILDERS, page, patch_operation, render_page
from fleet.dashboards.queries.patch_page import patch_page
from fleet.rollouts.patches import order_patches
from registry.visibility import visible_lines


@page
def patches(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """From what devices hold to what they may be brought to; with a budget in the query, what it would buy."""
    line = get_object_or_404(visible_lines(actor), name=name)
    actor.requires(Scope.READ, model=name)  # the plan counts every device
    form = PatchBudgetForm(request.GET)
    is_valid = form.is_valid()
    shown = patch_page(line, actor=actor, **form.wanted() if is_valid else {})
    context = {
        "section": "models",
        "line": line,
        "form": form,
        "page": shown,
        "may_build": any(actor.allows(scope, model=name) for scope in BUILDERS),
        "is_asked": is_valid and any(request.GET.get(field) for field in form.fields),
    }
    return render_page(request, actor, "dashboards/patches.html", context, status=200 if is_valid else 400)


@patch_operation
def build_patches(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Have built what the plan chooses with the budget that was looked at."""
    line = get_object_or_404(visible_lines(actor), name=name)
    form = PatchBudgetForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was asked for: the budget is no number.")
    else:
        ordered = order_patches(actor=actor, model_line=line, **form.wanted())
        count = len(ordered.plan.to_ask)
        messages.success(request, f"{count} more {'patch is' if count == 1 else 'patches are'} asked for.")
    return redirect("patches", name)
