"""Telling that a model line's signed targets expire soon: its publisher's CI should have signed newer ones."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from access.actors import SYSTEM
from fleet.webhooks.models import Kind, WebhookEvent
from fleet.webhooks.outbox import announce
from registry.models import MetadataFile

WARNED_BEFORE = timedelta(days=7)


def tell_expiring_targets() -> None:
    """Announce each targets file that expires within `WARNED_BEFORE`, once. The worker calls it again and again."""
    newest = MetadataFile.objects.filter(role=MetadataFile.Role.TARGETS, superseded_at=None)
    for file in newest.filter(expires_at__lt=timezone.now() + WARNED_BEFORE).select_related("model_line"):
        once = f"targets:{file.pk}"
        if not WebhookEvent.objects.filter(once=once).exists():
            _tell(file, once)


def _tell(file: MetadataFile, once: str) -> None:
    facts = {"model": file.model_line.name, "targets_version": file.version, "expires_at": file.expires_at}
    try:
        with transaction.atomic():
            announce(Kind.TARGETS_EXPIRING, actor=SYSTEM, facts=facts, once=once)
    except IntegrityError:
        if not WebhookEvent.objects.filter(once=once).exists():
            raise
        # another worker was faster
