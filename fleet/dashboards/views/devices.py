"""Devices: the list with its search, and one device with its history."""

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from access.actors import Actor
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.devices import found_devices, installation_rows
from fleet.dashboards.queries.history import attempt_rows, attempts_of, newest_reports
from fleet.dashboards.queries.spending import spending_of
from fleet.devices.models import Device
from fleet.devices.queries import installable_lines, pending_devices
from fleet.devices.visibility import operated_devices, visible_devices
from fleet.errors import QueryInvalid
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.visibility import ledger_condition

DEVICES_PER_PAGE = 50
ATTEMPTS_PER_PAGE = 20


@page
def devices(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Devices by name or by a query over attributes."""
    q, refusal = request.GET.get("q", ""), ""
    waiting_for = request.GET.get("waiting_for", "")
    try:
        found = found_devices(q, actor=actor, waiting_for=waiting_for)
    except QueryInvalid as problem:
        found, refusal = Device.objects.none(), problem.detail
    shown = Paginator(found, DEVICES_PER_PAGE).get_page(request.GET.get("page"))
    held = installation_rows([device.pk for device in shown], actor=actor)
    context = {
        "section": "devices",
        "q": q,
        "waiting_for": waiting_for,
        "refusal": refusal,
        "devices": shown,
        "rows": [(device, held[device.pk]) for device in shown],
        "pending_count": pending_devices(actor).count(),
        "any_device": shown.paginator.count > 0 or visible_devices(actor).exists(),
    }
    return render_page(request, actor, "dashboards/devices.html", context, status=400 if refusal else 200)


@page
def device(request: HttpRequest, actor: Actor, device_id: UUID) -> HttpResponse:
    """One device: what it is, holds, tried, measured and transferred."""
    shown = get_object_or_404(visible_devices(actor).select_related("link_class"), pk=device_id)
    attempts = Paginator(attempts_of(shown, actor=actor), ATTEMPTS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "devices",
        "device": shown,
        "may_install": installable_lines(shown, actor=actor),
        "may_change": operated_devices(actor).filter(pk=shown.pk).exists(),
        "installations": installation_rows([shown.pk], actor=actor)[shown.pk],
        "attempts": attempt_rows(list(attempts)),
        "attempt_pages": attempts,
        "reports": newest_reports(actor=actor, device=shown),
        "spending": spending_of(LedgerEntry.objects.filter(ledger_condition(actor), device=shown)),
    }
    return render_page(request, actor, "dashboards/device.html", context)
