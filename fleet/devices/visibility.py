"""Which devices and installations an actor may see or operate.

For this a device is in a group by its fixed attributes, which people or its enrollment set, and by its link class: never by what it says about
itself, or it could say itself into the sight of others. A group whose query asks for the device class holds nobody here.

A grant for a model line sees the devices that name the line, and of these devices only that line. To change a device as a whole takes a grant for
every line of it.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from django.db.models import Exists, OuterRef, Q, QuerySet

from access.actors import Actor
from access.errors import PermissionRefused
from access.grants import Permit
from access.models import Scope
from fleet.devices.models import Device, EnrollmentToken, Group, Installation, LinkClass
from fleet.devices.selectors import condition, holds_for, parse_query

_NONE = Q(pk__in=[])


def visible_devices(actor: Actor, scope: Scope = Scope.READ) -> QuerySet[Device]:
    """The devices, revoked ones too, for some of whose model lines the actor has the scope."""
    return Device.objects.filter(device_condition(actor, scope=scope))


def operated_devices(actor: Actor) -> QuerySet[Device]:
    """The devices that the actor may change as a whole."""
    whole = [permit for permit in actor.permits_for(Scope.OPERATE) if permit.model_line is None]
    return Device.objects.filter(_any_of(_of_device(permit, "", in_groups(whole)) for permit in whole))


def visible_installations(actor: Actor, scope: Scope = Scope.READ) -> QuerySet[Installation]:
    """The installations for which the actor has the scope."""
    return Installation.objects.filter(installation_condition(actor, scope=scope))


def visible_groups(actor: Actor, scope: Scope = Scope.READ) -> QuerySet[Group]:
    """The groups that the actor's grants with the scope name; all, with one that names none."""
    names = {permit.group for permit in actor.permits_for(scope)}
    return Group.objects.all() if None in names else Group.objects.filter(name__in=[name for name in names if name])


def visible_enrollment_tokens(actor: Actor) -> QuerySet[EnrollmentToken]:
    """The tokens whose devices the actor may operate as a whole: those that preset what a group of theirs asks for."""
    tokens = EnrollmentToken.objects.select_related("group", "link_class")
    whole = [permit for permit in actor.permits_for(Scope.OPERATE) if permit.model_line is None]
    if any(permit.group is None for permit in whole):
        return tokens
    queries = [parse_query(group.query) for group in in_groups(whole).values()]
    readable = [terms for terms in queries if all(term.key != "device_class" for term in terms)]
    return tokens.filter(_any_of(condition(terms) for terms in readable))


def device_condition(actor: Actor, device: str = "", scope: Scope = Scope.READ) -> Q:
    """The condition that a device is visible; `device` is how the filtered model reaches it, empty for devices themselves."""
    permits = actor.permits_for(scope)
    groups = in_groups(permits)
    return _any_of(_of_device(permit, device, groups) for permit in permits)


def installation_condition(actor: Actor, installation: str = "", scope: Scope = Scope.READ) -> Q:
    """The condition that an installation is visible, or whatever else has a `device` and a `model_line`, such as a report.

    `installation` is how the filtered model reaches it, empty for installations themselves.
    """
    prefix = f"{installation}__" if installation else ""
    permits = actor.permits_for(scope)
    groups = in_groups(permits)
    return _any_of(
        (Q() if permit.model_line is None else Q(**{f"{prefix}model_line__name": permit.model_line}))
        & _in_group(permit, f"{prefix}device", groups)
        for permit in permits
    )


def line_devices_condition(actor: Actor, *, model: str, device: str = "device") -> Q:
    """The condition that a device is visible to those who look at this model line."""
    permits = [permit for permit in actor.permits_for(Scope.READ) if permit.model_line in {None, model}]
    groups = in_groups(permits)
    return _any_of(_in_group(permit, device, groups) for permit in permits)


def check_may_operate(*, actor: Actor, device: Device) -> None:
    """Let only those change a device who have a grant for it as a whole.

    Raises:
        PermissionRefused: the actor has none.
    """
    if not operated_devices(actor).filter(pk=device.pk).exists():
        raise PermissionRefused(
            f"this needs `operate` for the device {device.pk} with all its model lines; {actor.label} has it not"
        )


def check_may_fix(*, actor: Actor, attributes: Mapping[str, str], link_class: LinkClass | None) -> None:
    """Let a restricted operator give only such fixed attributes as put a device into a group of theirs, e.g. by an enrollment token.

    Raises:
        PermissionRefused: with these attributes the device would be another's, or nobody's.
    """
    if actor.allows(Scope.OPERATE):
        return
    whole = [permit for permit in actor.permits_for(Scope.OPERATE) if permit.model_line is None]
    name = link_class.name if link_class else None
    queries = [parse_query(group.query) for group in in_groups(whole).values()]
    if not any(holds_for(terms, attributes=attributes, link_class=name) for terms in queries):
        raise PermissionRefused(
            f"a device with these fixed attributes is in no group for which {actor.label} has `operate`; give it what the group asks for"
        )


def in_groups(permits: Iterable[Permit]) -> dict[str, Group]:
    """The groups that permits name, by name; one query, and none where no permit names one."""
    names = {permit.group for permit in permits if permit.group is not None}
    return {group.name: group for group in Group.objects.filter(name__in=names)} if names else {}


def _of_device(permit: Permit, device: str, groups: Mapping[str, Group]) -> Q:
    if permit.model_line is None:
        return _in_group(permit, device, groups)
    key = OuterRef(f"{device}__pk" if device else "pk")
    names_it = Exists(Installation.objects.filter(device=key, model_line__name=permit.model_line))
    return _in_group(permit, device, groups) & Q(names_it)


def _in_group(permit: Permit, device: str, groups: Mapping[str, Group]) -> Q:
    if permit.group is None:
        return Q()
    group = groups.get(permit.group)
    return _NONE if group is None else condition(parse_query(group.query), device=device, fixed=True)


def _any_of(conditions: Iterable[Q]) -> Q:
    """The disjunction; of none, nothing; with one that asks for nothing, everything."""
    found = list(conditions)
    if not found:
        return _NONE
    return Q() if any(not each for each in found) else reduce(or_, found)
