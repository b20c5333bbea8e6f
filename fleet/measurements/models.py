"""Benchmark reports from devices."""

import uuid

from django.db import models

from fleet.devices.models import Device
from registry.models import Artifact, ModelLine


class BenchmarkReport(models.Model):
    """One benchmark run on one device: the report as it came, and the figures that are queried."""

    class Validity(models.TextChoices):
        VALID = "valid"
        SEMIVALID = "semivalid"
        INVALID = "invalid"

    run_id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text="made by the ruler on the device")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="reports")
    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="+")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="reports")
    attempt_id = models.UUIDField(null=True, blank=True)
    device_class = models.CharField(max_length=64, blank=True, help_text="of the device when it ran")
    schema = models.CharField(max_length=40)
    validity = models.CharField(max_length=16, choices=Validity.choices)
    p50_latency_ns = models.PositiveBigIntegerField(null=True)
    peak_memory_bytes = models.PositiveBigIntegerField(null=True)
    energy_j = models.FloatField(null=True)
    accuracy = models.FloatField(null=True)
    report = models.JSONField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["artifact", "device_class", "validity"], name="report_by_artifact_class")]

    def __str__(self) -> str:
        return str(self.run_id)
