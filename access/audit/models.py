"""The audit record and its chain. `access.models` names them too: Django finds an app's models there."""

from typing import Any, NoReturn

from django.db import models

APPEND_ONLY = "the audit record is append-only"


class AppendOnlyQuerySet(models.QuerySet[Any, Any]):
    """Rows that are added, and read."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refuse; the database would too."""
        raise RuntimeError(APPEND_ONLY)

    def delete(self) -> NoReturn:
        """Refuse; the database would too."""
        raise RuntimeError(APPEND_ONLY)


class AppendOnly(models.Model):
    """A row that nobody changes or deletes, by the model and by a trigger of the database (migration `audit_is_append_only_and_chained`)."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert.

        Raises:
            RuntimeError: it is there already.
        """
        if not self._state.adding:
            raise RuntimeError(APPEND_ONLY)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse; the database would too."""
        raise RuntimeError(APPEND_ONLY)


class AuditRecord(AppendOnly):
    """Who did what to what, when and from where. Written in the transaction of the change it records; never changed afterwards."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=200, help_text="`person:<username>`, `token:<id>`, `device:<id>` or `system`")
    actor_name = models.CharField(max_length=300, default="", blank=True, help_text="for people to read")
    action = models.CharField(max_length=60, help_text="verb and noun, e.g. `publish_version`")
    subject = models.CharField(max_length=300, help_text="what it was done to, e.g. `digits/1.1.0`")
    before = models.JSONField(null=True, help_text="what was changed, as it was; null for what is new")
    after = models.JSONField(null=True, help_text="the same fields as they are now; null for what is gone")
    detail = models.JSONField(default=dict, help_text="what else there is to say, e.g. a reason")
    address = models.CharField(
        max_length=45, default="", blank=True, help_text="of the client; empty for jobs and commands"
    )
    request_id = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
            models.Index(fields=["action", "-id"], name="audit_by_action"),
            models.Index(fields=["subject", "-id"], name="audit_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"


class AuditSeal(AppendOnly):
    """The place of a record in the chain (`access.audit.chain`). A row of its own, so that the record stays as it was inserted."""

    position = models.PositiveBigIntegerField(primary_key=True, help_text="1, 2, 3, …, without a gap")
    record = models.OneToOneField(AuditRecord, on_delete=models.PROTECT, related_name="seal")
    previous_sha256 = models.CharField(max_length=64, help_text="of the position before; 64 zeros at the first")
    sha256 = models.CharField(max_length=64, help_text="over position, previous digest and record")

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position}:{self.sha256}"
