"""What a device proves itself with: its credential, which is rotated without a gap, and its client certificate.

Rotation: the device makes the new secret, keeps it durably beside the old one, and announces its SHA-256, authenticated by the old one. Both are
good until the new one is first used; from then on only that. The secret itself crosses the wire for the first time in that use.
"""

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from access.actors import Actor
from access.audit.recording import record_audit
from access.errors import InvalidInput
from fleet.devices.models import Device
from fleet.devices.visibility import check_may_operate
from fleet.errors import CertificateTaken


def rotation_is_due(device: Device) -> bool:
    """Whether the device shall make itself a new credential: an operator asked, or the one it has is old."""
    most_days = settings.SMALLFLEET_CREDENTIAL_DAYS
    is_old = most_days > 0 and timezone.now() - device.credential_made_at > timedelta(days=most_days)
    return device.rotation_asked_at is not None or is_old


@transaction.atomic
def announce_credential(*, device: Device, next_sha256: str) -> None:
    """Accept the secret with this digest too, and once it is used, nothing else. Announcing twice is harmless, announcing another replaces it.

    Raises:
        InvalidInput: the digest is one of another device's.
    """
    if next_sha256 in {device.credential_sha256, device.next_credential_sha256}:
        return
    either = Q(credential_sha256=next_sha256) | Q(next_credential_sha256=next_sha256)
    if Device.objects.filter(either).exists():
        raise InvalidInput("make a new random secret and announce its SHA-256")
    Device.objects.filter(pk=device.pk).update(next_credential_sha256=next_sha256)
    # Of the digests only the beginning: enough to tell two credentials apart.
    before, after = _next_shown(device.next_credential_sha256), _next_shown(next_sha256)
    record_audit(
        actor=device.as_actor(), action="announce_credential", subject=str(device.pk), before=before, after=after
    )


def _next_shown(sha256: str | None) -> dict[str, str | None]:
    return {"next_credential": sha256[:12] if sha256 else None}


@transaction.atomic
def adopt_next_credential(device: Device) -> None:
    """The new credential was used: end the old one. Of requests at the same moment one does it."""
    used, now = device.next_credential_sha256, timezone.now()
    promoted = Device.objects.filter(pk=device.pk, next_credential_sha256=used).update(
        credential_sha256=used, next_credential_sha256=None, credential_made_at=now, rotation_asked_at=None
    )
    if promoted:
        record_audit(
            actor=device.as_actor(),
            action="rotate_credential",
            subject=str(device.pk),
            before={"credential_made_at": device.credential_made_at},
            after={"credential_made_at": now},
        )
    device.refresh_from_db()


@transaction.atomic
def ask_for_rotation(*, actor: Actor, device: Device) -> Device:
    """Have the device make itself a new credential at its next poll. Asking twice is harmless."""
    check_may_operate(actor=actor, device=device)
    asked = Device.objects.filter(pk=device.pk, rotation_asked_at=None, revoked_at=None)
    now = timezone.now()
    if asked.update(rotation_asked_at=now):
        record_audit(
            actor=actor,
            action="ask_for_rotation",
            subject=str(device.pk),
            before={"rotation_asked_at": None},
            after={"rotation_asked_at": now},
            detail={"name": device.name},
        )
    device.refresh_from_db()
    return device


@transaction.atomic
def register_certificate(*, actor: Actor, device: Device, sha256: str | None) -> Device:
    """Bind the device to the client certificate with this fingerprint, or with None to none.

    Raises:
        CertificateTaken: another device has it.
    """
    check_may_operate(actor=actor, device=device)
    before, device.certificate_sha256 = device.certificate_sha256, sha256
    try:
        with transaction.atomic():
            device.save(update_fields=["certificate_sha256"])
    except IntegrityError as error:
        raise CertificateTaken("another device has this client certificate; revoke that one first") from error
    if before != sha256:
        record_audit(
            actor=actor,
            action="register_certificate",
            subject=str(device.pk),
            before={"certificate_sha256": before},
            after={"certificate_sha256": sha256},
            detail={"name": device.name},
        )
    return device
