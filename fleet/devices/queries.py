"""Reads that join: who is in a group, and which installations a rollout over it reaches."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone

from access.actors import Actor
from access.errors import NotFound
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken, Group, Installation, LinkClass
from fleet.devices.selectors import condition, parse_query
from fleet.devices.visibility import (
    operated_devices,
    visible_devices,
    visible_enrollment_tokens,
    visible_groups,
    visible_installations,
)
from registry.models import ModelLine
from registry.trust.queries import newest_root_digests
from registry.visibility import line_names


def devices_in(group: Group | None) -> QuerySet[Device]:
    """The devices of the group, or all, without the revoked ones."""
    devices = Device.objects.filter(revoked_at=None, pending_until=None)
    return devices.filter(condition(parse_query(group.query))) if group else devices


def installations_in(
    *, model_line: ModelLine, group: Group | None = None, fixed: bool = False, among: Q | None = None
) -> QuerySet[Installation]:
    """The installations of the line on devices of the group, or on all: today's fleet.

    Args:
        model_line: whose installations.
        group: on whose devices; None is all.
        fixed: who is in the group is asked of fixed attributes alone.
        among: a condition on installations, e.g. that somebody may see them.
    """
    installations = Installation.objects.filter(model_line=model_line, active=True, device__revoked_at=None)
    if group is not None:
        installations = installations.filter(condition(parse_query(group.query), device="device", fixed=fixed))
    return installations if among is None else installations.filter(among)


def devices_matching(
    *,
    actor: Actor,
    group: str | None = None,
    model: str | None = None,
    name: str | None = None,
    waiting_for: str | None = None,
    pending: str | None = None,
) -> QuerySet[Device]:
    """Devices that the actor may see, revoked ones too.

    Of a group, with a model line, with a name, that a local rule keeps waiting, or that are pending (`yes`, `no`).

    Raises:
        NotFound: there is no such group that the actor may see.
    """
    devices = visible_devices(actor).select_related("link_class")
    if group is not None:
        devices = devices.filter(condition(parse_query(get_group(group, actor=actor).query)))
    if model is not None:
        having = visible_installations(actor).filter(device=OuterRef("pk"), model_line__name=model, active=True)
        devices = devices.filter(Exists(having))
    if name is not None:
        devices = devices.filter(name=name)
    if pending is not None:
        devices = devices.filter(pending_until__isnull=pending != "yes")
    return devices if waiting_for is None else devices.filter(waits_for(waiting_for, actor=actor))


def pending_devices(actor: Actor) -> QuerySet[Device]:
    """Devices that wait for the word of an operator, the actor's among them, the newest first."""
    waiting = operated_devices(actor).filter(pending_until__gt=timezone.now(), revoked_at=None)
    return waiting.order_by("-enrolled_at", "pk")


def serials_of(token: EnrollmentToken) -> QuerySet[EnrollmentSerial]:
    """The serials that may enroll with the token, the used ones too."""
    return token.serials.order_by("serial")


def roots_for(token: EnrollmentToken) -> dict[str, str]:
    """What devices of the token should pin: by model line that they may install and that has metadata, the digest of its newest root."""
    return dict(newest_root_digests(token.allowed_models or list(ModelLine.objects.values_list("name", flat=True))))


def installable_lines(device: Device, *, actor: Actor) -> list[str]:
    """The only model lines that the device may install, of those that the actor may see at all; empty where it may install any."""
    seen = line_names(actor)
    return [name for name in device.allowed_models if seen is None or name in seen]


def waits_for(rule: str, *, actor: Actor) -> Exists:
    """The condition that a device has an installation, which the actor may see, that this rule of its own keeps from what the server wants."""
    return Exists(visible_installations(actor).filter(device=OuterRef("pk"), refused_rule=rule, active=True))


# --- By name or id. Each raises `NotFound`, so that views need not. -------------------------------------------------


def get_device(device_id: UUID, *, actor: Actor) -> Device:
    """The device with what the actor may see of what it holds."""
    seen = visible_installations(actor).select_related("model_line", "target__version__model_line")
    installations = Prefetch("installations", seen.order_by("model_line__name"))
    devices = visible_devices(actor).select_related("link_class").prefetch_related(installations)
    device = devices.filter(pk=device_id).first()
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    return device


def get_devices(device_ids: Collection[UUID], *, actor: Actor) -> list[Device]:
    """The devices of these ids, all of them.

    Raises:
        NotFound: one is not there, or the actor may not see it.
    """
    devices = list(visible_devices(actor).filter(pk__in=device_ids))
    missing = set(device_ids) - {device.pk for device in devices}
    if missing:
        raise NotFound(f"there is no device {min(missing)}")
    return devices


def get_group(name: str, *, actor: Actor) -> Group:
    """The group of this name."""
    group = visible_groups(actor).filter(name=name).first()
    if group is None:
        raise NotFound(f"there is no group {name!r}")
    return group


def get_link_class(name: str) -> LinkClass:
    """The link class of this name."""
    link_class = LinkClass.objects.filter(name=name).first()
    if link_class is None:
        raise NotFound(f"there is no link class {name!r}")
    return link_class


def get_enrollment_token(token_id: UUID, *, actor: Actor) -> EnrollmentToken:
    """The enrollment token of this id."""
    token = visible_enrollment_tokens(actor).filter(pk=token_id).first()
    if token is None:
        raise NotFound(f"there is no enrollment token {token_id}")
    return token
