"""Which rollouts an actor may see or operate, and what of the attempts, bytes and devices under them.

A grant for a group sees the rollouts of that group, not those of another or of every device, though they may reach its devices too.
"""

from functools import reduce
from operator import or_

from django.db.models import Exists, OuterRef, Q, QuerySet

from access.actors import Actor
from access.errors import PermissionRefused
from access.models import Scope
from fleet.devices.visibility import installation_condition
from fleet.rollouts.models import Attempt, Rollout


def rollout_condition(actor: Actor) -> Q:
    """The condition that a rollout is visible."""
    conditions = []
    for permit in actor.permits_for(Scope.READ):
        line = Q() if permit.model_line is None else Q(target__version__model_line__name=permit.model_line)
        conditions.append(line if permit.group is None else line & Q(group__name=permit.group))
    if not conditions:
        return Q(pk__in=[])
    return Q() if any(not each for each in conditions) else reduce(or_, conditions)


def visible_rollouts(actor: Actor) -> QuerySet[Rollout]:
    """The rollouts that the actor may see."""
    return Rollout.objects.filter(rollout_condition(actor))


def visible_attempts(actor: Actor) -> QuerySet[Attempt]:
    """The attempts of installations that the actor may see, under whichever rollout."""
    return Attempt.objects.filter(installation_condition(actor, "installation"))


def ledger_condition(actor: Actor) -> Q:
    """The condition that an entry of the ledger is of a visible attempt; whoever sees everything sees also the entries without one."""
    if actor.allows(Scope.READ):
        return Q()
    ours = visible_attempts(actor).filter(pk=OuterRef("attempt_id"), installation__device=OuterRef("device"))
    return Q(Exists(ours))


def operates_line(actor: Actor, *, model: str) -> bool:
    """Whether the actor may bring any device to a variant of the line."""
    return actor.allows(Scope.OPERATE, model=model)


def may_roll_out(actor: Actor, rollout: Rollout) -> bool:
    """Whether the actor may change the rollout: an operator of a group only one that reaches no device beyond it."""
    model = rollout.target.version.model_line.name
    if operates_line(actor, model=model):
        return True
    within = rollout.group is not None and actor.allows(Scope.OPERATE, model=model, group=rollout.group.name)
    return within and rollout.by_fixed_attributes


def check_may_roll_out(*, actor: Actor, rollout: Rollout) -> None:
    """Let pass whoever may change the rollout.

    Raises:
        PermissionRefused: the actor may not operate the line in the rollout's group; or who is in it is asked of what devices say too.
    """
    if may_roll_out(actor, rollout):
        return
    model = rollout.target.version.model_line.name
    if rollout.group is None:
        actor.requires(Scope.OPERATE, model=model)
    else:
        actor.requires(Scope.OPERATE, model=model, group=rollout.group.name)
    raise PermissionRefused(
        f"this rollout also reaches devices that only say they are in {rollout.group}; it takes `operate` of {model} in every group"
    )
