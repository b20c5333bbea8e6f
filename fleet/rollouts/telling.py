"""That a rollout's state changed: the audit record keeps it, webhooks are told. Called in the transaction of the change."""

from collections.abc import Mapping
from typing import Any

from access.actors import Actor
from access.audit.recording import record_audit
from fleet.rollouts.models import Rollout
from fleet.webhooks.models import Kind
from fleet.webhooks.outbox import announce


def tell_state_change(
    *, actor: Actor, rollout: Rollout, action: str, before: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Record and announce that the rollout went from the state `before` to the one it has."""
    record_audit(
        actor=actor,
        action=action,
        subject=str(rollout.pk),
        before={"state": before},
        after={"state": rollout.state},
        detail={"target": str(rollout.target), **(detail or {})},
    )
    version = rollout.target.version
    announce(
        Kind.ROLLOUT_STATE_CHANGED,
        actor=actor,
        facts={
            "rollout": rollout.pk,
            "model": version.model_line.name,
            "version": version.version,
            "variant": rollout.target.name,
            "group": rollout.group.name if rollout.group else None,
            "from": before,
            "to": rollout.state,
        },
    )
