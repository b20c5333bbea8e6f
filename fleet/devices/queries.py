"""Reads that join: who is in a group, and which installations a rollout over it reaches."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from access.errors import NotFound
from fleet.devices.models import Device, EnrollmentToken, Group, Installation, LinkClass
from fleet.devices.selectors import condition, parse_query
from registry.models import ModelLine


def devices_in(group: Group | None) -> QuerySet[Device]:
    """The devices of the group, or all, without the revoked ones."""
    devices = Device.objects.filter(revoked_at=None)
    return devices.filter(condition(parse_query(group.query))) if group else devices


def installations_in(*, model_line: ModelLine, group: Group | None = None) -> QuerySet[Installation]:
    """The installations of the line on devices of the group, or on all: today's fleet."""
    installations = Installation.objects.filter(model_line=model_line, active=True, device__revoked_at=None)
    return installations.filter(condition(parse_query(group.query), device="device")) if group else installations


def devices_matching(
    *, group: str | None = None, model: str | None = None, name: str | None = None, waiting_for: str | None = None
) -> QuerySet[Device]:
    """Devices, revoked ones too, of a group, with a model line, with a name, or that a local rule keeps waiting; group and model line by theirs.

    Raises:
        NotFound: there is no such group.
    """
    devices = Device.objects.select_related("link_class")
    if group is not None:
        devices = devices.filter(condition(parse_query(get_group(group).query)))
    if model is not None:
        having = Installation.objects.filter(device=OuterRef("pk"), model_line__name=model, active=True)
        devices = devices.filter(Exists(having))
    if name is not None:
        devices = devices.filter(name=name)
    return devices if waiting_for is None else devices.filter(waits_for(waiting_for))


def waits_for(rule: str) -> Exists:
    """The condition that a device has an installation that this rule of its own keeps from what the server wants."""
    return Exists(Installation.objects.filter(device=OuterRef("pk"), refused_rule=rule, active=True))


# --- By name or id. Each raises `NotFound`, so that views need not. -------------------------------------------------


def get_device(device_id: UUID) -> Device:
    """The device with what it holds."""
    installations = Prefetch(
        "installations",
        Installation.objects.select_related("model_line", "target__version__model_line").order_by("model_line__name"),
    )
    device = Device.objects.select_related("link_class").prefetch_related(installations).filter(pk=device_id).first()
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    return device


def get_group(name: str) -> Group:
    """The group of this name."""
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise NotFound(f"there is no group {name!r}")
    return group


def get_link_class(name: str) -> LinkClass:
    """The link class of this name."""
    link_class = LinkClass.objects.filter(name=name).first()
    if link_class is None:
        raise NotFound(f"there is no link class {name!r}")
    return link_class


def get_enrollment_token(token_id: UUID) -> EnrollmentToken:
    """The enrollment token of this id."""
    token = EnrollmentToken.objects.filter(pk=token_id).first()
    if token is None:
        raise NotFound(f"there is no enrollment token {token_id}")
    return token
