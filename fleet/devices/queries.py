"""Reads that join: who is in a group, and which installations a rollout over it reaches."""

from django.db.models import QuerySet

from fleet.devices.models import Device, Group, Installation
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
