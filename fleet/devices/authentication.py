"""Who sends a request: a device, by the credential it got when it enrolled."""

import hmac

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from access import tokens
from access.authentication import bearer_of
from access.errors import Unauthenticated
from fleet.devices import last_seen
from fleet.devices.models import Device


class DeviceAuthentication(BaseAuthentication):
    """`Authorization: Bearer sfd_…`. A revoked device is refused like an unknown one."""

    def authenticate(self, request: Request) -> tuple[Device, None] | None:
        secret = bearer_of(request, tokens.DEVICE_PREFIX)
        if secret is None:
            return None
        wanted = tokens.digest(secret)
        device = Device.objects.filter(credential_sha256=wanted, revoked_at=None).first()
        if device is None or not hmac.compare_digest(device.credential_sha256, wanted):
            raise Unauthenticated("the device's credential is unknown or revoked; enroll it again")
        last_seen.note(device.pk)
        return device, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="smallfleet"'
