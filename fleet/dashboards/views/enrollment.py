"""How devices come in: enrollment tokens and their serials, devices that wait for approval, and what a device proves itself with."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from access.actors import Actor
from access.errors import ProblemError
from fleet.dashboards.forms import CertificateForm, EnrollmentTokenForm, PendingForm, SerialsForm
from fleet.dashboards.people import carry_out, operation, operators_page, render_page
from fleet.devices import credentials, enrollment, services
from fleet.devices.enrollment_text import enrollment_text
from fleet.devices.models import Device, EnrollmentToken
from fleet.devices.queries import get_device, get_devices, get_enrollment_token, pending_devices, roots_for, serials_of
from fleet.devices.visibility import visible_enrollment_tokens

TOKENS_PER_PAGE = 25
PENDING_PER_PAGE = 50
SERIALS_PER_PAGE = 100


@require_safe
@operators_page
def enrollment_tokens(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every token that the actor may see, newest first."""
    shown = Paginator(visible_enrollment_tokens(actor), TOKENS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"section": "devices", "tokens": shown, "pending_count": pending_devices(actor).count()}
    return render_page(request, actor, "dashboards/enrollment_tokens.html", context)


@operators_page
def new_enrollment_token(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a token, and show its secret this once."""
    form = EnrollmentTokenForm(request.POST or None, actor=actor)
    if request.method != "POST":
        return _token_form(request, actor, form)
    if not form.is_valid():
        return _token_form(request, actor, form, status=400)
    try:
        token, secret = enrollment.create_enrollment_token(actor=actor, **form.wanted())
    except ProblemError as problem:
        messages.error(request, f"{problem.title}. {problem.detail}")
        return _token_form(request, actor, form, status=problem.status)
    return _secret_shown_once(request, actor, token, secret)


def _token_form(request: HttpRequest, actor: Actor, form: EnrollmentTokenForm, *, status: int = 200) -> HttpResponse:
    context = {"section": "devices", "form": form}
    return render_page(request, actor, "dashboards/new_enrollment_token.html", context, status=status)


def _secret_shown_once(request: HttpRequest, actor: Actor, token: EnrollmentToken, secret: str) -> HttpResponse:
    """Not by a redirect: then the secret would have to be kept somewhere, or stand in an address."""
    roots = roots_for(token)
    context = {
        "section": "devices",
        "token": token,
        "text": enrollment_text(secret, roots),
        "roots": roots,
        "unpinned": sorted(set(token.allowed_models) - set(roots)),
    }
    return render_page(request, actor, "dashboards/enrollment_token_made.html", context)


@operators_page
def enrollment_token(request: HttpRequest, actor: Actor, token_id: UUID) -> HttpResponse:
    """One token, and its serials where it has some."""
    token = get_enrollment_token(token_id, actor=actor)
    form = SerialsForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _register(request, actor, token, form.cleaned_data["serials"])
    serials = serials_of(token).select_related("device")
    context = {
        "section": "devices",
        "token": token,
        "form": form,
        "serials": Paginator(serials, SERIALS_PER_PAGE).get_page(request.GET.get("page")),
        "has_serials": token.mode == EnrollmentToken.Mode.SERIALS,
    }
    status = 400 if form.is_bound else 200
    return render_page(request, actor, "dashboards/enrollment_token.html", context, status=status)


def _register(request: HttpRequest, actor: Actor, token: EnrollmentToken, serials: list[str]) -> HttpResponse:
    def register() -> None:
        enrollment.register_serials(actor=actor, token=token, serials=serials)

    done = f"{len(serials)} serial{'' if len(serials) == 1 else 's'} registered."
    return carry_out(request, done, register, then=reverse("enrollment-token", args=[token.pk]))


@operation
def revoke_enrollment_token(request: HttpRequest, actor: Actor, token_id: UUID) -> HttpResponse:
    """End a token."""
    token = get_enrollment_token(token_id, actor=actor)

    def revoke() -> None:
        enrollment.revoke_enrollment_token(actor=actor, token=token)

    return carry_out(request, f"The token {token.name} is revoked.", revoke, then=reverse("enrollment-tokens"))


@operators_page
def pending(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Devices that wait for an operator's word, and that word on those that are ticked."""
    if request.method == "POST":
        return _decide(request, actor)
    shown = Paginator(pending_devices(actor), PENDING_PER_PAGE).get_page(request.GET.get("page"))
    context = {"section": "devices", "devices": shown, "rows": [(device, _said(device)) for device in shown]}
    return render_page(request, actor, "dashboards/pending.html", context)


def _said(device: Device) -> dict[str, str]:
    """The attributes that the device says itself: nobody else vouches for them."""
    return {key: value for key, value in device.attributes.items() if key not in device.fixed_attributes}


def _decide(request: HttpRequest, actor: Actor) -> HttpResponse:
    """On all that are ticked, or where the actor may not see one of them, on none."""
    form = PendingForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Tick the devices, then approve or reject them.")
        return redirect("pending-devices")
    ids, approves = form.cleaned_data["devices"], form.cleaned_data["verb"] == "approve"
    service = enrollment.approve_devices if approves else enrollment.reject_devices

    def decide() -> None:
        service(actor=actor, devices=get_devices(ids, actor=actor))

    done = f"{len(ids)} device{'' if len(ids) == 1 else 's'} {'approved' if approves else 'rejected'}."
    return carry_out(request, done, decide, then=reverse("pending-devices"))


@operation
def rotate_device(request: HttpRequest, actor: Actor, device_id: UUID) -> HttpResponse:
    """Have a device make itself a new credential."""
    device = get_device(device_id, actor=actor)
    done = "The device is asked for a new credential at its next poll."
    return _on_device(request, device, done, lambda: credentials.ask_for_rotation(actor=actor, device=device))


@operation
def revoke_device(request: HttpRequest, actor: Actor, device_id: UUID) -> HttpResponse:
    """End a device's credential."""
    device = get_device(device_id, actor=actor)
    done = "The device is revoked: it is refused from its next request on."
    return _on_device(request, device, done, lambda: services.revoke_device(actor=actor, device=device))


@operation
def device_certificate(request: HttpRequest, actor: Actor, device_id: UUID) -> HttpResponse:
    """Bind a device to a client certificate, or to none."""
    device, form = get_device(device_id, actor=actor), CertificateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "A fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits, or nothing.")
        return redirect("device", device_id)
    sha256 = form.cleaned_data["sha256"] or None
    done = f"The device is bound to {'no' if sha256 is None else 'this'} certificate."
    return _on_device(
        request, device, done, lambda: credentials.register_certificate(actor=actor, device=device, sha256=sha256)
    )


def _on_device(request: HttpRequest, device: Device, done: str, verb: Callable[[], object]) -> HttpResponse:
    return carry_out(request, done, verb, then=reverse("device", args=[device.pk]))
