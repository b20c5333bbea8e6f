"""Who sends a request: a device, by the credential it got when it enrolled, by its client certificate, or by both."""

import hmac

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from access import tokens
from access.addresses import client_address
from access.authentication import bearer_of
from access.errors import Unauthenticated
from access.limits import network_of
from access.throttles import check_rate
from fleet.devices import certificates, last_seen
from fleet.devices.credentials import adopt_next_credential
from fleet.devices.models import Device
from fleet.errors import DeviceNotApproved

# How often a device that waits for an operator's word is asked to look for it.
PENDING_POLL_AFTER_S = 60


class DeviceAuthentication(BaseAuthentication):
    """`Authorization: Bearer sfd_…`, or without it a client certificate that a trusted proxy names.

    Nothing is cached: a device that was revoked is refused, like an unknown one, from its next request on. A device with a registered certificate
    is refused without it, so that its credential alone is of no use to a thief.
    """

    def authenticate(self, request: Request) -> tuple[Device, None] | None:
        secret = bearer_of(request, tokens.DEVICE_PREFIX)
        if secret is not None:
            device = _by_credential(secret, request)
        elif "HTTP_AUTHORIZATION" not in request.META and certificates.is_configured():
            found = _by_certificate(request)
            if found is None:
                return None  # another authentication's business
            device = found
        else:
            return None
        _check_approved(device)
        last_seen.note(device.pk)
        return device, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="smallfleet"'


def _by_credential(secret: str, request: Request) -> Device:
    wanted = tokens.digest(secret)
    device = _holder_of(wanted)
    if device is None or not device.is_active or not _brings_its_certificate(device, request):
        check_rate("refused", network_of(client_address(request)))
        raise Unauthenticated("the device's credential is unknown or revoked; enroll it again")
    if device.next_credential_sha256 == wanted:
        adopt_next_credential(device)
    return device


def _holder_of(wanted: str) -> Device | None:
    """The device with this credential, revoked or not; compared in constant time after the index has found it."""
    try:
        # By far the most frequent case, and the shortest query there is for it: it is a tenth of what an idle poll costs.
        device: Device | None = Device.objects.get(credential_sha256=wanted)
    except Device.DoesNotExist:
        # Again by both: another request may have made the next credential the current one since.
        either = Q(credential_sha256=wanted) | Q(next_credential_sha256=wanted)
        device = Device.objects.filter(either).order_by().first()
    return device if device is not None and _holds(device, wanted) else None


def _holds(device: Device, wanted: str) -> bool:
    """Whether one of the device's credentials has this digest; both are looked at."""
    is_current = hmac.compare_digest(device.credential_sha256, wanted)
    is_next = hmac.compare_digest(device.next_credential_sha256 or "", wanted)
    return is_current or is_next


def _brings_its_certificate(device: Device, request: Request) -> bool:
    if device.certificate_sha256 is None or not certificates.is_configured():
        return True
    named = certificates.certificate_named_in(request)
    return named is not None and hmac.compare_digest(device.certificate_sha256, named)


def _by_certificate(request: Request) -> Device | None:
    named = certificates.certificate_named_in(request)
    if named is None:
        return None
    return Device.objects.filter(certificate_sha256=named, revoked_at=None).order_by().first()


def _check_approved(device: Device) -> None:
    """Let only approved devices pass.

    Raises:
        DeviceNotApproved: it waits for an operator's word.
        Unauthenticated: it waited too long.
    """
    if device.pending_until is None:
        return
    if device.pending_until <= timezone.now():
        raise Unauthenticated("the device's credential is unknown or revoked; enroll it again")
    raise DeviceNotApproved(
        "an operator of the fleet has to approve this device; it need only go on asking",
        headers={"Retry-After": str(PENDING_POLL_AFTER_S)},
    )
