"""Bytes on the wire."""

from django.db import models

from fleet.devices.models import Device


class LedgerEntry(models.Model):
    """The bytes of one artifact in one attempt, failures and retries included; both counts only ever grow, by `F()`."""

    class Way(models.TextChoices):
        DELTA = "delta"
        PACKED = "packed"
        RAW = "raw"
        CONTRACT = "contract"
        SAMPLE_SET = "sample-set"

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="ledger_entries")
    # The agent's id of the attempt. Not a foreign key: the server may carry bytes before it has heard of the attempt.
    attempt_id = models.UUIDField()
    artifact_sha256 = models.CharField(max_length=64)
    way = models.CharField(max_length=16, choices=Way.choices, blank=True, help_text="empty until the agent has said")
    agent_bytes = models.PositiveBigIntegerField(
        default=0, help_text="HTTP bytes both ways, headers included, as the agent counted them"
    )
    server_bytes = models.PositiveBigIntegerField(
        null=True, help_text="body bytes this server sent; null where an object store or CDN did"
    )
    requests = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "attempt_id", "artifact_sha256"], name="ledger_entry_unique")
        ]
        indexes = [models.Index(fields=["attempt_id"], name="ledger_by_attempt")]

    def __str__(self) -> str:
        return f"{self.attempt_id} {self.way} {self.agent_bytes}"
