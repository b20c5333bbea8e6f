"""A device's requests: `Authorization: Bearer sfd_…`."""

import hmac

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from access import tokens
from access.authentication import bearer_of
from access.errors import Unauthenticated
from fleet.devices.models import Device


class DeviceAuthentication(BaseAuthentication):
    """Finds the device by the digest of its credential; wrong, unknown and revoked are the same answer."""

    def authenticate(self, request: Request) -> tuple[Device, None] | None:
        secret = bearer_of(request, tokens.DEVICE_PREFIX)
        if secret is None:
            return None
        wanted = tokens.digest(secret)
        device = Device.objects.select_related("link_class").filter(credential_sha256=wanted, revoked_at=None).first()
        if device is None or not hmac.compare_digest(device.credential_sha256, wanted):
            raise Unauthenticated("the device's credential is wrong or was revoked; enroll again")
        return device, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="smallfleet"'
