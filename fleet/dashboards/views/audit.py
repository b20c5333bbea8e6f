"""Who changed what: for admins, and nothing to press."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from access.actors import Actor
from fleet.dashboards.forms import AuditFilterForm
from fleet.dashboards.people import admins_page, render_page
from fleet.dashboards.queries.audit import AuditPage, audit_page


@require_safe
@admins_page
def audit(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The audit record, newest first. No count of pages: with every record that would cost more."""
    form = AuditFilterForm(request.GET)
    shown = audit_page(form.cleaned_data) if form.is_valid() else AuditPage([], None)
    context = {"section": "audit", "form": form, "page": shown, "is_filtered": any(request.GET.dict().values())}
    return render_page(request, actor, "dashboards/audit.html", context, status=200 if form.is_valid() else 400)
