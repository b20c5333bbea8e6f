"""The verb that writes studies."""

from typing import Any

from django.db import transaction

from access.actors import Actor
from access.audit.recording import record_audit
from access.models import Scope
from registry.documents import check_study, digest_of
from registry.models import ModelLine, Study


def put_study(*, actor: Actor, model_line: ModelLine, name: str, document: Any) -> tuple[Study, bool]:
    """Put this document in the place of what the study of this name had; returns it, and whether it is new. The same again changes nothing.

    Raises:
        StudyInvalid: the document is not of its schema, too large, or of another name.
    """
    actor.requires(Scope.PUBLISH, model=model_line.name)
    checked = check_study(document, name=name)
    wanted = {"document": checked, "point_count": len(checked["points"]), "changed_by": actor.label}
    with transaction.atomic():
        study, created = Study.objects.select_for_update().get_or_create(
            model_line=model_line, name=name, defaults=wanted
        )
        if created or study.document != checked:
            before = None if created else _recorded(study)
            for field, value in wanted.items():
                setattr(study, field, value)
            study.save(update_fields=[*wanted, "changed_at"])
            record_audit(actor=actor, action="put_study", subject=str(study), before=before, after=_recorded(study))
    return study, created


def _recorded(study: Study) -> dict[str, Any]:
    """What the audit record shows of a study: its points are too many."""
    return {"sha256": digest_of(study.document), "points": study.point_count}
