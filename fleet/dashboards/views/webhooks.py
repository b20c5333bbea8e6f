"""Webhooks: the list, one with its deliveries, and the buttons; for admins."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from access.actors import Actor
from access.errors import ProblemError
from fleet.dashboards.forms import WebhookForm
from fleet.dashboards.people import administration, admins_page, carry_out, render_page
from fleet.webhooks import services
from fleet.webhooks.models import Webhook
from fleet.webhooks.queries import deliveries_of, get_delivery, get_webhook, webhooks_with_last_delivery

DELIVERIES_PER_PAGE = 25


@admins_page
def webhooks(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every webhook, and a form for another."""
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            webhook, secret = services.create_webhook(actor=actor, **form.cleaned_data)
        except ProblemError as problem:
            form.add_error("url", f"{problem.title}: {problem.detail}")
        else:
            return _secret_shown_once(request, actor, webhook, secret)
    context = {"section": "webhooks", "form": form, "webhooks": webhooks_with_last_delivery()}
    return render_page(request, actor, "dashboards/webhooks.html", context, status=400 if form.errors else 200)


def _secret_shown_once(request: HttpRequest, actor: Actor, webhook: Webhook, secret: str) -> HttpResponse:
    """Not by a redirect: then the secret would have to be kept somewhere, or stand in an address."""
    context = {"section": "webhooks", "webhook": webhook, "secret": secret}
    return render_page(request, actor, "dashboards/webhook_secret.html", context)


@admins_page
def webhook(request: HttpRequest, actor: Actor, webhook_id: UUID) -> HttpResponse:
    """One webhook: what it is told, and what came of each delivery."""
    shown = get_webhook(webhook_id)
    form = WebhookForm(request.POST or None, initial={"url": shown.url, "kinds": shown.kinds})
    if request.method == "POST" and form.is_valid():
        try:
            services.update_webhook(actor=actor, webhook=shown, **form.cleaned_data)
        except ProblemError as problem:
            form.add_error("url", f"{problem.title}: {problem.detail}")
        else:
            messages.success(request, "The webhook is changed.")
            return redirect("webhook", shown.pk)
    deliveries = Paginator(deliveries_of(shown), DELIVERIES_PER_PAGE).get_page(request.GET.get("page"))
    context = {"section": "webhooks", "webhook": shown, "form": form, "deliveries": deliveries}
    return render_page(request, actor, "dashboards/webhook.html", context, status=400 if form.errors else 200)


@administration
def rotate_webhook(request: HttpRequest, actor: Actor, webhook_id: UUID) -> HttpResponse:
    """A new secret, shown this once."""
    rotated, secret = services.rotate_secret(actor=actor, webhook=get_webhook(webhook_id))
    return _secret_shown_once(request, actor, rotated, secret)


@administration
def change_webhook(request: HttpRequest, actor: Actor, webhook_id: UUID, verb: str) -> HttpResponse:
    """A button of a webhook's page: one service, then the page again."""
    shown = get_webhook(webhook_id)
    here, there = reverse("webhook", args=[webhook_id]), reverse("webhooks")
    acts: dict[str, tuple[str, Callable[[], object], str]] = {
        "ping": ("A ping is on its way.", lambda: services.ping_webhook(actor=actor, webhook=shown), here),
        "enable": (
            "It is told again.",
            lambda: services.update_webhook(actor=actor, webhook=shown, enabled=True),
            here,
        ),
        "disable": (
            "It is told nothing until it is enabled.",
            lambda: services.update_webhook(actor=actor, webhook=shown, enabled=False),
            here,
        ),
        "delete": ("The webhook is deleted.", lambda: services.delete_webhook(actor=actor, webhook=shown), there),
    }
    if verb not in acts:
        raise Http404(f"there is no button {verb}")
    done, act, then = acts[verb]
    return carry_out(request, done, act, then=then)


@administration
def redeliver(request: HttpRequest, actor: Actor, webhook_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Send one again."""
    delivery = get_delivery(get_webhook(webhook_id), delivery_id)
    return carry_out(
        request,
        "It is on its way again.",
        lambda: services.redeliver(actor=actor, delivery=delivery),
        then=reverse("webhook", args=[webhook_id]),
    )
