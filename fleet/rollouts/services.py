"""The verbs of people on rollouts."""

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from access.actors import Actor
from access.audit.recording import record_audit
from fleet.devices.models import Group, Installation
from fleet.devices.queries import installations_in
from fleet.errors import CohortEmpty, RolloutOverlap, RolloutTarget
from fleet.ledger.queries import VariantCost, cost_of_variant
from fleet.rollouts.completion import finish_completed
from fleet.rollouts.engine import LIVE, Verb, next_state
from fleet.rollouts.joining import assign_target, step_back
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.patches import request_patches_to
from fleet.rollouts.telling import tell_state_change
from fleet.rollouts.visibility import check_may_roll_out, operates_line
from registry.errors import NotSigned
from registry.models import ModelLine, Variant, Version

Outcome = CohortMember.Outcome


def open_rollout(
    *,
    actor: Actor,
    target: Variant,
    group: Group | None = None,
    wait_for_delta_s: int = 600,
    created_by: User | None = None,
    start: bool = False,
) -> Rollout:
    """Plan to bring the group, or every device, to the target; with `start`, at once.

    Raises:
        RolloutTarget: the target's version was yanked; or it is a draft and `start` is asked for.
        NotSigned: no device would install the target.
        PermissionRefused: the actor does not operate the line in this group.
        RolloutOverlap, CohortEmpty: as `start_rollout`.
    """
    with transaction.atomic():
        if target.version.state == Version.State.YANKED:
            raise RolloutTarget(f"{target.version} was yanked: {target.version.yank_reason or 'no reason given'}")
        _check_live(target)
        rollout = Rollout(target=target, group=group, wait_for_delta_s=wait_for_delta_s, created_by=created_by)
        # An operator of a group reaches the devices that were put into it, and none that only says so.
        rollout.by_fixed_attributes = group is not None and not operates_line(
            actor, model=target.version.model_line.name
        )
        check_may_roll_out(actor=actor, rollout=rollout)
        rollout.save(force_insert=True)
        after = {
            "state": rollout.state,
            "target": str(target),
            "group": group.name if group else None,
            "wait_for_delta_s": wait_for_delta_s,
        }
        record_audit(actor=actor, action="open_rollout", subject=str(rollout.pk), after=after)
        if start:
            rollout = _start(actor, rollout)
    _after_start(rollout)
    rollout.refresh_from_db(fields=["state", "closed_at"])
    return rollout


def start_rollout(*, actor: Actor, rollout: Rollout) -> Rollout:
    """Set the target on the cohort's installations and keep the forecast.

    Raises:
        RolloutState: it is no draft.
        RolloutTarget: the target's version is not published.
        NotSigned: the target is no longer in the signed targets metadata.
        CohortEmpty: no installation matches the group.
        RolloutOverlap: an installation of the cohort stands under another running or paused rollout.
    """
    with transaction.atomic():
        rollout = _start(actor, rollout)
    _after_start(rollout)
    rollout.refresh_from_db(fields=["state", "closed_at"])
    return rollout


def _start(actor: Actor, rollout: Rollout) -> Rollout:
    line = _locked_line(rollout)
    rollout = _locked(rollout)
    check_may_roll_out(actor=actor, rollout=rollout)
    before, rollout.state = rollout.state, next_state(rollout.state, Verb.START)
    _check_target(rollout.target)
    cohort = _locked_cohort(rollout, line)
    rollout.forecast = _forecast(
        cost_of_variant(variant=rollout.target, group=rollout.group, fixed=rollout.by_fixed_attributes)
    )
    rollout.started_at = timezone.now()
    rollout.save(update_fields=["state", "forecast", "started_at"])
    assign_target(rollout=rollout, installations=cohort)
    detail = {"installations": len(cohort)}
    tell_state_change(actor=actor, rollout=rollout, action="start_rollout", before=before, detail=detail)
    return rollout


def _after_start(rollout: Rollout) -> None:
    """What needs the start committed: finishing where all are there already, and asking for the patches."""
    if rollout.state in LIVE:
        finish_completed([rollout.pk])
    request_patches_to(variant=rollout.target)


def _locked_line(rollout: Rollout) -> ModelLine:
    """Lock the line, before the rollout: of two starts at once the second sees the first, and a device that comes now sees either verb whole."""
    return ModelLine.objects.select_for_update(no_key=True).get(versions__variants__rollouts=rollout)


def _locked(rollout: Rollout) -> Rollout:
    details = Rollout.objects.select_related("group", "target__artifact", "target__version__model_line")
    return details.select_for_update(of=("self",), no_key=True).get(pk=rollout.pk)


def _check_target(target: Variant) -> None:
    if target.version.state != Version.State.PUBLISHED:
        raise RolloutTarget(f"{target.version} is {target.version.state}; only a published version can be rolled out")
    _check_live(target)


def _check_live(target: Variant) -> None:
    if not target.is_live:
        raise NotSigned(
            f"{target} is not in the signed targets metadata of {target.version.model_line.name}, so no device would install it;"
            " its publisher signs it first"
        )


def _locked_cohort(rollout: Rollout, line: ModelLine) -> list[tuple[int, int | None]]:
    """The cohort's installations with what each holds, locked in the order of their ids, so that no other writer can wait in a circle.

    Raises:
        CohortEmpty, RolloutOverlap: see `start_rollout`.
    """
    cohort = installations_in(model_line=line, group=rollout.group, fixed=rollout.by_fixed_attributes)
    locked: list[tuple[int, int | None]] = list(
        cohort.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk", "current")
    )
    if not locked:
        where = f"in the group {rollout.group.name}" if rollout.group else "in the fleet"
        raise CohortEmpty(f"no device {where} has {line.name}; devices appear with their first poll")
    taken = dict(Installation.objects.filter(model_line=line, rollout__state__in=LIVE).values_list("pk", "rollout"))
    other = next((taken[pk] for pk, _ in locked if pk in taken), None)
    if other is not None:
        raise RolloutOverlap(
            f"the rollout {other} is running on an installation of this cohort; finish or abort it first"
        )
    return locked


def _forecast(cost: VariantCost) -> dict[str, object]:
    return {
        "devices": cost.devices,
        "devices_there": cost.devices_there,
        "bytes_total": cost.bytes_total,
        "money_total": str(cost.money_total),
        "bytes_by_way": dict(cost.bytes_by_way),
        "devices_by_way": dict(cost.devices_by_way),
        "is_upper_bound": cost.is_upper_bound,
    }


def pause_rollout(*, actor: Actor, rollout: Rollout) -> Rollout:
    """Let no device start or finish until it is resumed. What a device has activated stays.

    Raises:
        RolloutState: it does not run.
    """
    return _change_state(actor, rollout, Verb.PAUSE)


def resume_rollout(*, actor: Actor, rollout: Rollout) -> Rollout:
    """Go on where it was paused.

    Raises:
        RolloutState: it is not paused.
        RolloutTarget, NotSigned: the target was yanked, or signed out, meanwhile: no device would move. It can be aborted.
    """
    rollout = _change_state(actor, rollout, Verb.RESUME)
    finish_completed([rollout.pk])
    rollout.refresh_from_db(fields=["state", "closed_at"])
    return rollout


@transaction.atomic
def _change_state(actor: Actor, rollout: Rollout, verb: Verb) -> Rollout:
    rollout = _locked(rollout)
    check_may_roll_out(actor=actor, rollout=rollout)
    before, rollout.state = rollout.state, next_state(rollout.state, verb)
    if verb is Verb.RESUME:
        _check_target(rollout.target)
    rollout.save(update_fields=["state"])
    tell_state_change(actor=actor, rollout=rollout, action=f"{verb}_rollout", before=before)
    return rollout


@transaction.atomic
def abort_rollout(*, actor: Actor, rollout: Rollout, roll_back: bool = False) -> Rollout:
    """End it. Installations that succeeded stay, or with `roll_back` step back to what they had, which costs no byte; the rest keep what they have.

    One that had succeeded and is heard only later steps back then.

    Raises:
        RolloutState: it has ended.
    """
    _locked_line(rollout)
    rollout = _locked(rollout)
    check_may_roll_out(actor=actor, rollout=rollout)
    before, rollout.state = rollout.state, next_state(rollout.state, Verb.ABORT)
    rollout.closed_at = timezone.now()
    rollout.roll_back = roll_back
    rollout.save(update_fields=["state", "closed_at", "roll_back"])
    len(rollout.installations.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    stays = rollout.members.filter(outcome__in=[Outcome.SUCCEEDED, Outcome.THERE]).values("installation")
    cleared = rollout.installations.exclude(pk__in=stays).update(target=None, updated_at=timezone.now())
    stepping_back = step_back(rollout=rollout, installations=rollout.installations.all()) if roll_back else 0
    detail = {"roll_back": roll_back, "cleared": cleared, "stepping_back": stepping_back}
    tell_state_change(actor=actor, rollout=rollout, action="abort_rollout", before=before, detail=detail)
    return rollout
