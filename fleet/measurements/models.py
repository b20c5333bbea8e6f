"""Benchmark reports from devices, in series that may be compared.

A report is kept as it came, whatever its validity. A series counts its runs and adds their histograms up; a device stands in a series with its
newest run that is not invalid. So a page reads few small rows, however many reports there are.
"""

import uuid

from django.db import models
from django.db.models import F, Q

from fleet.devices.models import Device
from registry.models import Artifact, ModelLine


class BenchmarkSeries(models.Model):
    """The runs of one model on one class of devices under the same conditions: only such may be put into one median."""

    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="benchmark_series")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="benchmark_series")
    device_class = models.CharField(max_length=64, blank=True)
    runtime = models.CharField(max_length=100, help_text="name and version")
    configuration = models.CharField(max_length=40, help_text="canonical, device-default or custom")
    threads = models.PositiveIntegerField(help_text="of the runtime; 0: it chose and did not say")
    providers = models.CharField(max_length=200, help_text="execution providers that were asked for, joined by +")
    power_mode = models.CharField(max_length=100, blank=True)
    runs = models.PositiveIntegerField(default=0, help_text="all, the invalid ones too")
    valid_runs = models.PositiveIntegerField(default=0)
    invalid_runs = models.PositiveIntegerField(default=0)
    latency_histogram = models.JSONField(
        null=True, help_text="of all timed inferences of the runs that are not invalid, added up"
    )

    class Meta:
        ordering = ["model_line", "artifact", "device_class", "configuration", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "model_line",
                    "artifact",
                    "device_class",
                    "runtime",
                    "configuration",
                    "threads",
                    "providers",
                    "power_mode",
                ],
                name="benchmark_series_unique",
            ),
            models.CheckConstraint(
                condition=Q(runs__gte=F("valid_runs") + F("invalid_runs")), name="benchmark_series_counts_add_up"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.artifact_id} on {self.device_class or 'no class'}, {self.configuration}"

    @property
    def semivalid_runs(self) -> int:
        """Runs that count with a reservation."""
        return self.runs - self.valid_runs - self.invalid_runs

    @property
    def key(self) -> tuple[str, str, int, str, str, str]:
        """Class and conditions as a value: series of different models compare where it is the same."""
        return (
            self.device_class,
            self.configuration,
            self.threads,
            self.runtime,
            self.providers,
            self.power_mode,
        )

    @property
    def conditions(self) -> str:
        """Under which it ran, in words."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}" if self.threads else "threads not said"
        said = [self.configuration, threads, self.runtime, self.providers.removesuffix("ExecutionProvider")]
        return ", ".join([*said, self.power_mode] if self.power_mode else said)


class BenchmarkReport(models.Model):
    """One benchmark run on one device: the report as it came, and the figures that are listed."""

    class Validity(models.TextChoices):
        VALID = "valid"
        SEMIVALID = "semivalid"
        INVALID = "invalid"

    run_id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text="made by the ruler on the device")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="reports")
    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="+")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="reports")
    series = models.ForeignKey(BenchmarkSeries, on_delete=models.PROTECT, related_name="reports")
    attempt_id = models.UUIDField(null=True, blank=True)
    device_class = models.CharField(max_length=64, blank=True, help_text="of the device when it ran")
    schema = models.CharField(max_length=40)
    validity = models.CharField(max_length=16, choices=Validity.choices)
    p50_latency_ns = models.PositiveBigIntegerField(
        null=True, help_text="the median over processes, where the ruler ran several"
    )
    peak_memory_bytes = models.PositiveBigIntegerField(null=True)
    energy_j = models.FloatField(null=True)
    accuracy = models.FloatField(null=True)
    report = models.JSONField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["received_at"], name="report_by_time"),
            models.Index(fields=["device", "received_at"], name="report_by_device_time"),
            models.Index(fields=["model_line", "received_at"], name="report_by_line_time"),
            models.Index(fields=["model_line", "validity", "received_at"], name="report_by_line_validity"),
        ]

    def __str__(self) -> str:
        return str(self.run_id)


class StandingRun(models.Model):
    """The run that a device stands with in a series: its newest that is not invalid. Narrow, because pages read every one of a line.

    A device stands once for each model, configuration, choice of providers and power mode, in the series of its newest run.
    """

    series = models.ForeignKey(BenchmarkSeries, on_delete=models.CASCADE, related_name="standing_runs")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(BenchmarkReport, on_delete=models.CASCADE, related_name="+")
    p50_latency_ns = models.PositiveBigIntegerField(null=True)
    cpu_ns = models.PositiveBigIntegerField(null=True, help_text="CPU time per inference")
    peak_memory_bytes = models.PositiveBigIntegerField(null=True)
    energy_j = models.FloatField(null=True, help_text="per inference")
    energy_source = models.CharField(max_length=100, blank=True, help_text="method and scope")
    energy_tier = models.PositiveSmallIntegerField(null=True, help_text="0 is the best instrument")
    accuracy = models.FloatField(null=True, help_text="top-1 on the labelled samples")
    accuracy_ci_low = models.FloatField(null=True)
    accuracy_ci_high = models.FloatField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "device"], name="standing_run_unique")]

    def __str__(self) -> str:
        return f"{self.device_id} in {self.series_id}"
