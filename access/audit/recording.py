"""Writing a record: called by every service, in the transaction of what it changed."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from access.actors import Actor
from access.addresses import current_origin
from access.audit.chain import seal_records
from access.audit.models import AuditRecord
from access.audit.values import plain, without_secrets


def record_audit(
    *,
    actor: Actor,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down who did what, from where. Call it in the transaction of the change, so that neither stands without the other.

    Secrets are cut out. The record gets its place in the chain once the change is committed; if that fails, the worker sees to it.

    Args:
        actor: who did it.
        action: verb and noun, e.g. `publish_version`.
        subject: what it was done to, e.g. `digits/1.1.0`.
        before: the changed fields as they were; None for what is new.
        after: the same fields as they are now; None for what is gone.
        detail: what else there is to say.
    """
    origin = current_origin()
    record = AuditRecord.objects.create(
        actor=without_secrets(actor.label),
        actor_name=without_secrets(actor.name),
        action=action,
        subject=without_secrets(subject),
        before=plain(before),
        after=plain(after),
        detail=plain(detail or {}),
        address=origin.address,
        request_id=origin.request_id,
    )

    def seal() -> None:  # a function of its own: Django's log line of one that failed wants its name
        seal_records(first_id=record.pk)

    transaction.on_commit(seal, robust=True)
