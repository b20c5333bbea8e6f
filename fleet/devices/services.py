"""The verbs of people on devices, and enrollment."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import transaction
from django.db.models import F, ProtectedError, Q
from django.utils import timezone

from access import tokens
from access.actors import Actor
from access.services import record_audit
from fleet.devices.models import Device, EnrollmentToken, Group, LinkClass
from fleet.devices.selectors import normalised
from fleet.errors import EnrollmentRefused, FleetConflict, GroupTaken


class DeviceChanges(TypedDict, total=False):
    """What a person may change of a device."""

    name: str
    link_class: LinkClass | None


class LinkClassChanges(TypedDict, total=False):
    """What a person may change of a link class."""

    price_per_mb: Decimal
    rate_limit_bytes_per_s: int | None
    metered: bool


@transaction.atomic
def enroll_device(
    *, token: str, name: str, device_class: str = "", attributes: Mapping[str, str] | None = None
) -> tuple[Device, str]:
    """Enroll a device with a token; returns it and its credential, which is never to be had again.

    Raises:
        EnrollmentRefused: the token is wrong, used up, expired or revoked; which of them is not said.
    """
    fixed = _claim_use(token)
    secret = tokens.new_secret(tokens.DEVICE_PREFIX)
    device = Device.objects.create(
        name=name,
        device_class=device_class,
        attributes={**(attributes or {}), **fixed.attributes},
        fixed_attributes=fixed.attributes,
        link_class_id=fixed.link_class_id,
        credential_sha256=tokens.digest(secret),
    )
    record_audit(
        actor=device.as_actor(), action="enroll_device", subject=str(device.pk), detail={"token": str(fixed.pk)}
    )
    return device, secret


def _claim_use(token: str) -> EnrollmentToken:
    """Take one use of the token: one UPDATE, so that two devices cannot share the last."""
    token_sha256 = tokens.digest(token)
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    usable = EnrollmentToken.objects.filter(unexpired, token_sha256=token_sha256, revoked_at=None, used__lt=F("uses"))
    if not usable.update(used=F("used") + 1):
        raise EnrollmentRefused("ask the fleet's operator for a new enrollment token")
    return EnrollmentToken.objects.get(token_sha256=token_sha256)


@transaction.atomic
def create_enrollment_token(
    *,
    actor: Actor,
    name: str,
    uses: int = 1,
    expires_at: datetime | None = None,
    link_class: LinkClass | None = None,
    attributes: Mapping[str, str] | None = None,
) -> tuple[EnrollmentToken, str]:
    """Create a token that lets `uses` devices enroll; returns it and its secret, which is never to be had again."""
    secret = tokens.new_secret(tokens.ENROLLMENT_PREFIX)
    token = EnrollmentToken.objects.create(
        name=name,
        token_sha256=tokens.digest(secret),
        uses=uses,
        expires_at=expires_at,
        link_class=link_class,
        attributes=dict(attributes or {}),
    )
    record_audit(
        actor=actor, action="create_enrollment_token", subject=str(token.pk), detail={"name": name, "uses": uses}
    )
    return token, secret


@transaction.atomic
def revoke_enrollment_token(*, actor: Actor, token: EnrollmentToken) -> None:
    """End the token; devices that enrolled with it stay. Ending it twice is harmless."""
    if EnrollmentToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        record_audit(actor=actor, action="revoke_enrollment_token", subject=str(token.pk))


@transaction.atomic
def revoke_device(*, actor: Actor, device: Device) -> Device:
    """Refuse the device from its next request on. Its history stays. Revoking twice is harmless."""
    if Device.objects.filter(pk=device.pk, revoked_at=None).update(revoked_at=timezone.now()):
        record_audit(actor=actor, action="revoke_device", subject=str(device.pk), detail={"name": device.name})
    device.refresh_from_db()
    return device


@transaction.atomic
def update_device(*, actor: Actor, device: Device, **changes: Unpack[DeviceChanges]) -> Device:
    """Change the device's name or link class."""
    if "name" in changes:
        device.name = changes["name"]
    if "link_class" in changes:
        device.link_class = changes["link_class"]
    device.save(update_fields=list(changes))
    record_audit(actor=actor, action="update_device", subject=str(device.pk), detail=_plain(changes))
    return device


@transaction.atomic
def create_link_class(
    *,
    actor: Actor,
    name: str,
    price_per_mb: Decimal,
    rate_limit_bytes_per_s: int | None = None,
    metered: bool = False,
) -> tuple[LinkClass, bool]:
    """Create a link class; returns it and whether it is new.

    Raises:
        GroupTaken: the name exists with other properties; change those with PATCH.
    """
    wanted = {"price_per_mb": price_per_mb, "rate_limit_bytes_per_s": rate_limit_bytes_per_s, "metered": metered}
    link_class, created = LinkClass.objects.get_or_create(name=name, defaults=wanted)
    different = [field for field, value in wanted.items() if getattr(link_class, field) != value]
    if different:
        raise GroupTaken(
            f"the link class {name} exists with another {different[0]}; change it with `smallfleet link-classes change {name}`, or PATCH"
        )
    if created:
        record_audit(actor=actor, action="create_link_class", subject=name, detail=_plain(wanted))
    return link_class, created


@transaction.atomic
def update_link_class(*, actor: Actor, link_class: LinkClass, **changes: Unpack[LinkClassChanges]) -> LinkClass:
    """Change what a byte costs; forecasts from now on use it, and so does the money of every ledger."""
    for field, value in changes.items():
        setattr(link_class, field, value)
    link_class.save(update_fields=list(changes))
    record_audit(actor=actor, action="update_link_class", subject=link_class.name, detail=_plain(changes))
    return link_class


@transaction.atomic
def create_group(*, actor: Actor, name: str, query: str) -> tuple[Group, bool]:
    """Save a query under a name; returns the group and whether it is new.

    Raises:
        QueryInvalid: the query cannot be read.
        GroupTaken: the name exists with another query.
    """
    query = normalised(query)
    group, created = Group.objects.get_or_create(name=name, defaults={"query": query})
    if group.query != query:
        raise GroupTaken(f"the group {name} exists with the query {group.query!r}; choose another name")
    if created:
        record_audit(actor=actor, action="create_group", subject=name, detail={"query": query})
    return group, created


@transaction.atomic
def delete_group(*, actor: Actor, group: Group) -> None:
    """Delete the group; no device changes.

    Raises:
        FleetConflict: a rollout was made for it, and keeps it.
    """
    name = group.name
    try:
        group.delete()
    except ProtectedError as error:
        raise FleetConflict(
            f"the group {name} is kept: {len(error.protected_objects)} rollouts were made for it"
        ) from error
    record_audit(actor=actor, action="delete_group", subject=name)


def _plain(changes: Mapping[str, object]) -> dict[str, object]:
    """Values as the audit record's JSON can hold them."""
    return {key: value if isinstance(value, bool | int | None) else str(value) for key, value in changes.items()}
