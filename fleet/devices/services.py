"""The verbs of people on devices, groups and link classes.

How devices come in is in `enrollment`, what they prove themselves with in `credentials`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from access.actors import Actor
from access.audit.recording import record_audit
from access.models import Scope
from access.people import is_group_granted
from fleet.devices.models import Device, Group, LinkClass
from fleet.devices.selectors import normalised
from fleet.devices.visibility import check_may_fix, check_may_operate
from fleet.errors import FleetConflict, GroupTaken


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
def revoke_device(*, actor: Actor, device: Device) -> Device:
    """Refuse the device from its next request on. Its history stays. Revoking twice is harmless."""
    check_may_operate(actor=actor, device=device)
    now = timezone.now()
    if Device.objects.filter(pk=device.pk, revoked_at=None).update(revoked_at=now):
        record_audit(
            actor=actor,
            action="revoke_device",
            subject=str(device.pk),
            before={"revoked_at": None},
            after={"revoked_at": now},
            detail={"name": device.name},
        )
    device.refresh_from_db()
    return device


@transaction.atomic
def update_device(*, actor: Actor, device: Device, **changes: Unpack[DeviceChanges]) -> Device:
    """Change the device's name or link class."""
    check_may_operate(actor=actor, device=device)
    if "link_class" in changes:  # groups may ask for it
        check_may_fix(actor=actor, attributes=device.fixed_attributes, link_class=changes["link_class"])
    before = {name: getattr(device, name) for name in changes}
    for name, value in changes.items():
        setattr(device, name, value)
    device.save(update_fields=list(changes))
    _record_change(actor, "update_device", str(device.pk), before, changes)
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
    actor.requires(Scope.OPERATE)
    wanted = {"price_per_mb": price_per_mb, "rate_limit_bytes_per_s": rate_limit_bytes_per_s, "metered": metered}
    link_class, created = LinkClass.objects.get_or_create(name=name, defaults=wanted)
    different = [field for field, value in wanted.items() if getattr(link_class, field) != value]
    if different:
        raise GroupTaken(
            f"the link class {name} exists with another {different[0]}; change it with `smallfleet link-classes change {name}`, or PATCH"
        )
    if created:
        record_audit(actor=actor, action="create_link_class", subject=name, after=wanted)
    return link_class, created


@transaction.atomic
def update_link_class(*, actor: Actor, link_class: LinkClass, **changes: Unpack[LinkClassChanges]) -> LinkClass:
    """Change what a byte costs; forecasts from now on use it, and so does the money of every ledger."""
    actor.requires(Scope.OPERATE)
    before = {field: getattr(link_class, field) for field in changes}
    for field, value in changes.items():
        setattr(link_class, field, value)
    link_class.save(update_fields=list(changes))
    _record_change(actor, "update_link_class", link_class.name, before, changes)
    return link_class


@transaction.atomic
def create_group(*, actor: Actor, name: str, query: str) -> tuple[Group, bool]:
    """Save a query under a name; returns the group and whether it is new.

    Raises:
        QueryInvalid: the query cannot be read.
        GroupTaken: the name exists with another query.
    """
    actor.requires(Scope.OPERATE)
    query = normalised(query)
    group, created = Group.objects.get_or_create(name=name, defaults={"query": query})
    if group.query != query:
        raise GroupTaken(f"the group {name} exists with the query {group.query!r}; choose another name")
    if created:
        record_audit(actor=actor, action="create_group", subject=name, after={"query": query})
    return group, created


@transaction.atomic
def delete_group(*, actor: Actor, group: Group) -> None:
    """Delete the group; no device changes.

    Raises:
        FleetConflict: a rollout was made for it, or a grant or token is for it, and keeps it: another group of the name would get what is granted.
    """
    actor.requires(Scope.OPERATE)
    name, before = group.name, {"query": group.query}
    if is_group_granted(name):
        raise FleetConflict(f"the group {name} is kept: there are grants or tokens for it; take those back first")
    try:
        group.delete()
    except ProtectedError as error:
        raise FleetConflict(
            f"the group {name} is kept: {len(error.protected_objects)} rollouts were made for it"
        ) from error
    record_audit(actor=actor, action="delete_group", subject=name, before=before)


def _record_change(
    actor: Actor, action: str, subject: str, before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    """Write down the fields that are different now; a wish for what is there already changed nothing."""
    changed = {name: value for name, value in after.items() if value != before[name]}
    if changed:
        record_audit(
            actor=actor,
            action=action,
            subject=subject,
            before={name: _named(before[name]) for name in changed},
            after={name: _named(value) for name, value in changed.items()},
        )


def _named(value: object) -> object:
    return value.name if isinstance(value, LinkClass) else value
