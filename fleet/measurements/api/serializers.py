"""Shapes of reports on the wire."""

from typing import Any

from rest_framework import serializers

from fleet.measurements.models import BenchmarkReport
from fleet.measurements.queries import SeriesFigures
from fleet.measurements.services import ReportMessage
from registry.api.serializers import NameField, Sha256Field
from registry.budgets import Check, Quantity, Verdict

MAX_REPORTS = 20
# A report has up to 256 kB, though mostly some 8; a page of a thousand would be as much as a model.
MAX_WHOLE_REPORTS = 100


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
    whole = serializers.ChoiceField(
        choices=["yes", "no"],
        default="yes",
        help_text=f"`yes` has each report as it came, at most {MAX_WHOLE_REPORTS} a page; `no` has its figures alone",
    )


class ReportSummarySerializer(serializers.ModelSerializer[BenchmarkReport]):
    """A stored report by its figures."""

    device_name = serializers.CharField(source="device.name", read_only=True)
    model = serializers.CharField(source="model_line.name", read_only=True)
    sha256 = serializers.CharField(source="artifact.sha256", read_only=True)
    attempt = serializers.UUIDField(source="attempt_id", read_only=True, allow_null=True)
    configuration = serializers.CharField(source="series.configuration", read_only=True)
    threads = serializers.IntegerField(source="series.threads", read_only=True)
    runtime = serializers.CharField(source="series.runtime", read_only=True)
    providers = serializers.CharField(source="series.providers", read_only=True)

    class Meta:
        model = BenchmarkReport
        fields = [
            "run_id", "device", "device_name", "device_class", "model", "sha256", "attempt", "schema", "validity",
            "configuration", "threads", "runtime", "providers",
            "p50_latency_ns", "peak_memory_bytes", "energy_j", "accuracy", "received_at",
        ]  # fmt: skip


class ReportSerializer(ReportSummarySerializer):
    """A stored report as it came."""

    report = serializers.DictField(read_only=True)

    class Meta(ReportSummarySerializer.Meta):
        fields = [*ReportSummarySerializer.Meta.fields, "report"]


class ListedReportSerializer(ReportSerializer):
    """A stored report in a list; without `report` where the query says `whole=no`."""

    report = serializers.DictField(read_only=True, required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Without what was left out of the query."""
        fields = super().get_fields()
        if not self.context.get("whole", True):
            del fields["report"]
        return fields


class SpreadSerializer(serializers.Serializer[Any]):
    """One figure over devices; each number is a device's own."""

    median = serializers.FloatField()
    q1 = serializers.FloatField()
    q3 = serializers.FloatField()
    lowest = serializers.FloatField()
    highest = serializers.FloatField()
    devices = serializers.IntegerField()


class FleetLatencySerializer(serializers.Serializer[Any]):
    """Percentiles over all inferences of all runs that count; null where too few stand behind one."""

    inferences = serializers.IntegerField()
    p50_ns = serializers.FloatField(allow_null=True)
    p90_ns = serializers.FloatField(allow_null=True)
    p99_ns = serializers.FloatField(allow_null=True)


class EnergySerializer(serializers.Serializer[Any]):
    """Joules per inference by the best instrument that any device has."""

    # DRF's own `source` of a bound field is not used on this one.
    source = serializers.CharField()  # type: ignore[assignment]
    joules = SpreadSerializer()


class AccuracySerializer(serializers.Serializer[Any]):
    """Top-1 on the device's samples."""

    value = serializers.FloatField()
    ci_low = serializers.FloatField(allow_null=True)
    ci_high = serializers.FloatField(allow_null=True)
    devices = serializers.IntegerField()


class SeriesSerializer(serializers.Serializer[Any]):
    """The runs of one model on one device class under the same conditions."""

    variant = serializers.SerializerMethodField()
    sha256 = serializers.CharField(source="series.artifact.sha256")
    device_class = serializers.CharField(source="series.device_class")
    configuration = serializers.CharField(source="series.configuration")
    threads = serializers.IntegerField(source="series.threads")
    runtime = serializers.CharField(source="series.runtime")
    providers = serializers.CharField(source="series.providers")
    power_mode = serializers.CharField(source="series.power_mode")
    runs = serializers.IntegerField(source="series.runs")
    valid_runs = serializers.IntegerField(source="series.valid_runs")
    semivalid_runs = serializers.IntegerField(source="series.semivalid_runs")
    invalid_runs = serializers.IntegerField(source="series.invalid_runs")
    devices = serializers.IntegerField()
    p50_latency_ns = SpreadSerializer(source="latency", allow_null=True)
    fleet_latency = FleetLatencySerializer(source="fleet", allow_null=True)
    peak_memory_bytes = SpreadSerializer(source="peak_memory", allow_null=True)
    energy = EnergySerializer(allow_null=True)
    accuracy = AccuracySerializer(allow_null=True)

    def get_variant(self, figures: SeriesFigures) -> str | None:
        """Version and variant; null of a model that is no variant of the line."""
        return str(figures.name) if figures.name else None


class DisagreementSerializer(serializers.Serializer[Any]):
    """A proxy that prefers another of two variants than a measurement under these conditions does."""

    a = serializers.CharField(source="comparison.a")
    b = serializers.CharField(source="comparison.b")
    proxy = serializers.CharField(source="verdict.proxy")
    metric = serializers.CharField(source="verdict.metric")
    proxy_ratio = serializers.FloatField(source="verdict.proxy_ratio.mid", help_text="of b to a, by the graph")
    measured_ratio = serializers.FloatField(source="verdict.metric_ratio.mid", help_text="of b to a, as measured")
    device_class = serializers.CharField()
    conditions = serializers.CharField()
    text = serializers.CharField()


class BenchmarksSerializer(serializers.Serializer[Any]):
    """What the devices measured of a model line."""

    model = serializers.CharField()
    series = SeriesSerializer(many=True)
    disagreements = DisagreementSerializer(many=True)


class CheckSerializer(serializers.Serializer[Any]):
    """One limit against what is known of one variant: from its file, or from one series of runs."""

    quantity = serializers.ChoiceField(choices=[quantity.value for quantity in Quantity], source="limit.quantity")
    metric = serializers.CharField(source="limit.metric")
    verdict = serializers.ChoiceField(choices=[verdict.value for verdict in Verdict])
    value = serializers.FloatField(allow_null=True)
    at_least = serializers.SerializerMethodField()
    at_most = serializers.SerializerMethodField()
    wanted = serializers.FloatField(source="limit.wanted", allow_null=True)
    meets_wanted = serializers.BooleanField(allow_null=True)
    by_devices = serializers.BooleanField(help_text="they decide it, not the file and its evaluations")
    device_class = serializers.CharField()
    conditions = serializers.CharField()
    devices = serializers.IntegerField(help_text="that stand behind the value")
    devices_beyond = serializers.IntegerField(help_text="that break the limit by their own figure")
    detail = serializers.CharField(help_text="why it is unknown, or what the value is")

    def get_at_least(self, check: Check) -> float | None:
        """The bound from below."""
        return check.limit.required if check.limit.at_least else None

    def get_at_most(self, check: Check) -> float | None:
        """The bound from above."""
        return None if check.limit.at_least else check.limit.required


class VariantCheckSerializer(serializers.Serializer[Any]):
    """A variant against the limits of its line."""

    variant = serializers.CharField(source="variant.name")
    sha256 = serializers.CharField(source="variant.artifact.sha256")
    verdict = serializers.ChoiceField(choices=[verdict.value for verdict in Verdict])
    checks = CheckSerializer(many=True)


class BudgetCheckSerializer(serializers.Serializer[Any]):
    """The variants of a version against the limits of its line."""

    model = serializers.CharField()
    version = serializers.CharField()
    configuration = serializers.CharField(source="checked.budget.configuration")
    variants = VariantCheckSerializer(many=True, source="checked.variants")
