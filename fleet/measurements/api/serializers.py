"""Shapes of reports on the wire."""

from typing import Any

from rest_framework import serializers

from fleet.measurements.models import BenchmarkReport
from fleet.measurements.services import ReportMessage
from registry.api.serializers import NameField, Sha256Field

MAX_REPORTS = 20


class ReportMessageSerializer(serializers.Serializer[Any]):
    """One report; its inside is checked against the schema of `bench-report/1`, and refused alone if it does not keep it."""

    model = NameField()
    sha256 = Sha256Field()
    attempt = serializers.UUIDField(allow_null=True, required=False, default=None)
    report = serializers.DictField()


class ReportsSerializer(serializers.Serializer[Any]):
    """A delivery."""

    reports = ReportMessageSerializer(many=True, max_length=MAX_REPORTS)  # type: ignore[call-arg]  # the stubs lack it

    def messages(self) -> list[ReportMessage]:
        """The checked body as values."""
        return [ReportMessage(**report) for report in self.validated_data["reports"]]


class ReportRefusalSerializer(serializers.Serializer[Any]):
    """A report that will never be accepted."""

    run_id = serializers.CharField(allow_null=True)
    type = serializers.CharField()
    detail = serializers.CharField()


class RecordedReportsSerializer(serializers.Serializer[Any]):
    """What became of a delivery."""

    accepted = serializers.IntegerField()
    repeated = serializers.IntegerField()
    refused = ReportRefusalSerializer(many=True)


class ReportQuerySerializer(serializers.Serializer[Any]):
    """Which reports to list."""

    model = serializers.CharField(required=False)
    device = serializers.UUIDField(required=False)
    validity = serializers.ChoiceField(choices=BenchmarkReport.Validity.choices, required=False)


class ReportSerializer(serializers.ModelSerializer[BenchmarkReport]):
    """A stored report."""

    device_name = serializers.CharField(source="device.name", read_only=True)
    model = serializers.CharField(source="model_line.name", read_only=True)
    sha256 = serializers.CharField(source="artifact.sha256", read_only=True)
    attempt = serializers.UUIDField(source="attempt_id", read_only=True, allow_null=True)
    report = serializers.DictField(read_only=True)

    class Meta:
        model = BenchmarkReport
        fields = [
            "run_id", "device", "device_name", "device_class", "model", "sha256", "attempt", "schema", "validity",
            "p50_latency_ns", "peak_memory_bytes", "energy_j", "accuracy", "received_at", "report",
        ]  # fmt: skip
