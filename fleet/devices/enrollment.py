"""How a device becomes one of the fleet: tokens, registered serials, and an operator's word."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from access import tokens
from access.actors import SYSTEM, Actor
from access.audit.recording import record_audit
from access.errors import InvalidInput
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken, Group, LinkClass
from fleet.devices.selectors import fixed_by, parse_query
from fleet.devices.visibility import check_may_fix, check_may_operate
from fleet.errors import CertificateTaken, EnrollmentRefused, PresetUnusable, TooManyPending
from fleet.webhooks.models import Kind
from fleet.webhooks.outbox import announce

DEFAULT_TOKEN_LIFETIME = timedelta(hours=24)
# What a token of the mode `serials` may be used without saying so: its serials are the limit.
SERIALS_USES = 1_000_000
PENDING_RETRY_AFTER_S = 3600
_BATCH = 500

Mode = EnrollmentToken.Mode


@dataclass(frozen=True, slots=True)
class _Terms:
    """Under which terms a device enrolls: its token's, or those of a device without one."""

    mode: str
    token: EnrollmentToken | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    allowed_models: Collection[str] = ()
    link_class_id: int | None = None


# --- Devices ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def enroll_device(
    *,
    name: str,
    token: str = "",
    device_class: str = "",
    attributes: Mapping[str, str] | None = None,
    serial: str = "",
    certificate_sha256: str | None = None,
) -> tuple[Device, str]:
    """Enroll a device; returns it and its credential, which is never to be had again.

    Where an operator's word is needed, the device is pending: its credential is good for nothing until then.

    Raises:
        EnrollmentRefused: the token is wrong, used up, expired or revoked, or the serial is not registered or used: which of them is not said.
        TooManyPending: so many wait for an operator's word that no other may.
        CertificateTaken: another device has this client certificate.
    """
    terms = _terms(token)
    if terms.mode == Mode.APPROVAL:
        _check_room_to_wait()
    secret = tokens.new_secret(tokens.DEVICE_PREFIX)
    device = Device(
        name=name,
        device_class=device_class,
        attributes={**(attributes or {}), **terms.attributes},
        fixed_attributes=dict(terms.attributes),
        allowed_models=list(terms.allowed_models),
        link_class_id=terms.link_class_id,
        serial=serial,
        credential_sha256=tokens.digest(secret),
        certificate_sha256=certificate_sha256,
        pending_until=_pending_until() if terms.mode == Mode.APPROVAL else None,
    )
    _save_with_certificate(device)
    if terms.mode == Mode.SERIALS:
        _claim_serial(terms.token, serial, device)
    record_audit(
        actor=device.as_actor(),
        action="enroll_device",
        subject=str(device.pk),
        after={"name": name, "device_class": device_class, "pending_until": device.pending_until},
        detail={"token": str(terms.token.pk) if terms.token else None, "mode": terms.mode, "serial": serial},
    )
    _announce(Kind.DEVICE_PENDING if device.pending_until else Kind.DEVICE_ENROLLED, device.as_actor(), device)
    return device, secret


def _announce(kind: Kind, actor: Actor, device: Device) -> None:
    facts = {
        "device": device.pk,
        "name": device.name,
        "device_class": device.device_class,
        "attributes": device.attributes,
    }
    announce(kind, actor=actor, facts=facts)


def _terms(token: str) -> _Terms:
    if not token:
        if not settings.SMALLFLEET_ENROLL_WITHOUT_TOKEN:
            raise EnrollmentRefused("ask the fleet's operator for a new enrollment token")
        return _Terms(Mode.APPROVAL)
    row = _claim_use(token)
    return _Terms(row.mode, row, row.attributes, row.allowed_models, row.link_class_id)


def _claim_use(token: str) -> EnrollmentToken:
    """Take one use of the token: one UPDATE, so that two devices cannot share the last."""
    token_sha256 = tokens.digest(token)
    usable = EnrollmentToken.objects.filter(
        token_sha256=token_sha256, revoked_at=None, expires_at__gt=timezone.now(), used__lt=F("uses")
    )
    if not usable.update(used=F("used") + 1):
        raise EnrollmentRefused("ask the fleet's operator for a new enrollment token")
    return EnrollmentToken.objects.get(token_sha256=token_sha256)


def _claim_serial(token: EnrollmentToken | None, serial: str, device: Device) -> None:
    """Take the serial: one UPDATE, so that two devices cannot share it; a refusal gives the token's use back."""
    unused = EnrollmentSerial.objects.filter(token=token, serial=serial, used_at=None)
    if not unused.update(used_at=timezone.now(), device=device):
        raise EnrollmentRefused("ask the fleet's operator for a new enrollment token")


def _check_room_to_wait() -> None:
    """Keep the number of waiting devices bounded; requests at the same moment may exceed the bound by their number."""
    most = settings.SMALLFLEET_MAX_PENDING_DEVICES
    if Device.objects.filter(pending_until__gt=timezone.now()).count() >= most:
        raise TooManyPending(
            f"{most} devices wait for an operator already; approve or reject them first",
            headers={"Retry-After": str(PENDING_RETRY_AFTER_S)},
        )


def _pending_until() -> datetime:
    return timezone.now() + timedelta(days=settings.SMALLFLEET_PENDING_DEVICE_DAYS)


def _save_with_certificate(device: Device) -> None:
    """Save the device; the database keeps two devices from one certificate."""
    try:
        with transaction.atomic():
            device.save()
    except IntegrityError as error:
        if device.certificate_sha256 is None:
            raise
        raise CertificateTaken("another device has this client certificate; revoke that one first") from error


@transaction.atomic
def approve_devices(*, actor: Actor, devices: Iterable[Device]) -> int:
    """Let pending devices work from their next request on; returns how many waited. Approving twice is harmless."""
    devices = list(devices)
    for device in devices:
        check_may_operate(actor=actor, device=device)
    approved = [device for device in devices if _is_decided(device)]
    for device in approved:
        record_audit(
            actor=actor,
            action="approve_device",
            subject=str(device.pk),
            before={"pending_until": device.pending_until},
            after={"pending_until": None},
            detail={"name": device.name},
        )
        _announce(Kind.DEVICE_ENROLLED, actor, device)
    return len(approved)


def _is_decided(device: Device) -> bool:
    waiting = Device.objects.filter(pk=device.pk, pending_until__gt=timezone.now())
    return bool(waiting.update(pending_until=None))


@transaction.atomic
def reject_devices(*, actor: Actor, devices: Iterable[Device]) -> int:
    """Forget pending devices, which have no history to keep; returns how many waited. Their credentials are unknown from then on."""
    rejected = 0
    for device in devices:
        check_may_operate(actor=actor, device=device)
        if Device.objects.filter(pk=device.pk, pending_until__isnull=False).delete()[0]:
            rejected += 1
            before = {"name": device.name, "device_class": device.device_class, "serial": device.serial}
            record_audit(actor=actor, action="reject_device", subject=str(device.pk), before=before)
    return rejected


@transaction.atomic
def forget_unanswered() -> int:
    """Forget the devices for which no operator said a word in time; returns how many. The worker calls it again and again."""
    return reject_devices(actor=SYSTEM, devices=Device.objects.filter(pending_until__lte=timezone.now()))


# --- Tokens -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_enrollment_token(
    *,
    actor: Actor,
    name: str,
    mode: str = Mode.OPEN,
    uses: int | None = None,
    expires_at: datetime | None = None,
    models: Collection[str] = (),
    group: Group | None = None,
    link_class: LinkClass | None = None,
    attributes: Mapping[str, str] | None = None,
    serials: Collection[str] = (),
) -> tuple[EnrollmentToken, str]:
    """Create a token that lets `uses` devices enroll; returns it and its secret, which is never to be had again.

    Args:
        actor: who makes it.
        name: for people.
        mode: what a device must bring besides the token.
        uses: how many devices; one, or with `serials` as many as those.
        expires_at: in 24 hours unless given, and never later than SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS.
        models: the only model lines that its devices may install and read; empty: any.
        group: its query, which is made of equalities, becomes attributes, so that the devices are in it.
        link_class: of the devices.
        attributes: of the devices; they win over what those say.
        serials: registered at once, see `register_serials`.

    Raises:
        InvalidInput: it would end too late, or has serials in another mode.
        PresetUnusable: the group's query is not made of equalities, or contradicts the attributes or the link class.
        PermissionRefused: its devices would be in no group of the actor.
    """
    preset = _preset(group, dict(attributes or {}), link_class)
    check_may_fix(actor=actor, attributes=preset.attributes, link_class=preset.link_class)
    secret = tokens.new_secret(tokens.ENROLLMENT_PREFIX)
    token = EnrollmentToken.objects.create(
        name=name,
        token_sha256=tokens.digest(secret),
        mode=mode,
        uses=uses or (SERIALS_USES if mode == Mode.SERIALS else 1),
        expires_at=_end(expires_at),
        allowed_models=sorted(set(models)),
        group=group,
        link_class=preset.link_class,
        attributes=preset.attributes,
    )
    record_audit(
        actor=actor,
        action="create_enrollment_token",
        subject=str(token.pk),
        after={
            "name": name,
            "mode": token.mode,
            "uses": token.uses,
            "expires_at": token.expires_at,
            "models": token.allowed_models,
            "group": group.name if group else None,
            "link_class": token.link_class.name if token.link_class else None,
            "attributes": token.attributes,
        },
    )
    if serials:
        register_serials(actor=actor, token=token, serials=serials)
    return token, secret


def _end(expires_at: datetime | None) -> datetime:
    now = timezone.now()
    most = timedelta(days=settings.SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS)
    end = expires_at or now + min(DEFAULT_TOKEN_LIFETIME, most)
    if end > now + most:
        message = f"an enrollment token lives at most {most.days} days here, until {(now + most).isoformat(timespec='minutes')}"
        raise InvalidInput(message, errors=[{"field": "expires_at", "message": message}])
    return end


@dataclass(frozen=True, slots=True)
class _Preset:
    attributes: dict[str, str]
    link_class: LinkClass | None


def _preset(group: Group | None, attributes: dict[str, str], link_class: LinkClass | None) -> _Preset:
    """Attributes and link class with which a device is in the group."""
    wanted = fixed_by(parse_query(group.query)) if group else {}
    link = wanted.pop("link_class", None)
    if link is not None and link_class is None:
        link_class = LinkClass.objects.filter(name=link).first()
    if link is not None and (link_class is None or link_class.name != link):
        raise PresetUnusable(f"the group {group} is of the link class {link!r}; give that, or another group")
    contradicted = sorted(key for key, value in wanted.items() if attributes.get(key, value) != value)
    if contradicted:
        raise PresetUnusable(f"the group {group} wants {wanted}, the attributes say otherwise of {contradicted}")
    return _Preset(attributes | wanted, link_class)


@transaction.atomic
def register_serials(*, actor: Actor, token: EnrollmentToken, serials: Collection[str]) -> int:
    """Register serials under the token; returns how many are new. A serial that is there already stays as it is, used or not.

    Raises:
        InvalidInput: the token is of another mode.
    """
    check_may_fix(actor=actor, attributes=token.attributes, link_class=token.link_class)
    if token.mode != Mode.SERIALS:
        message = f"serials are for tokens of the mode serials, this one is {token.mode}"
        raise InvalidInput(message, errors=[{"field": "serials", "message": message}])
    before = token.serials.count()
    rows = [EnrollmentSerial(token=token, serial=serial) for serial in sorted(set(serials))]
    EnrollmentSerial.objects.bulk_create(rows, batch_size=_BATCH, ignore_conflicts=True)
    added = token.serials.count() - before
    if added:
        counts = {"before": {"serials": before}, "after": {"serials": before + added}}
        record_audit(actor=actor, action="register_serials", subject=str(token.pk), **counts)
    return added


@transaction.atomic
def remove_serial(*, actor: Actor, token: EnrollmentToken, serial: str) -> None:
    """Take a serial off the list; a device that used it stays. Removing twice is harmless."""
    check_may_fix(actor=actor, attributes=token.attributes, link_class=token.link_class)
    if EnrollmentSerial.objects.filter(token=token, serial=serial).delete()[0]:
        record_audit(actor=actor, action="remove_serial", subject=str(token.pk), before={"serial": serial})


@transaction.atomic
def revoke_enrollment_token(*, actor: Actor, token: EnrollmentToken) -> None:
    """End the token; devices that enrolled with it stay. Ending it twice is harmless."""
    check_may_fix(actor=actor, attributes=token.attributes, link_class=token.link_class)
    now = timezone.now()
    if EnrollmentToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        record_audit(
            actor=actor,
            action="revoke_enrollment_token",
            subject=str(token.pk),
            before={"revoked_at": None},
            after={"revoked_at": now},
            detail={"name": token.name},
        )
