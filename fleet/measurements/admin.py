"""The measurements in Django's admin, read-only."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.measurements.models import BenchmarkReport, BenchmarkSeries, StandingRun


@admin.register(BenchmarkReport)
class BenchmarkReportAdmin(ReadOnlyAdmin):
    """Benchmark reports."""

    list_display = ["run_id", "device", "model_line", "device_class", "validity", "p50_latency_ns", "received_at"]
    list_select_related = ["device", "model_line"]


@admin.register(BenchmarkSeries)
class BenchmarkSeriesAdmin(ReadOnlyAdmin):
    """Runs that may be compared."""

    list_display = ["artifact", "model_line", "device_class", "configuration", "threads", "runtime", "runs"]
    list_select_related = ["artifact", "model_line"]


@admin.register(StandingRun)
class StandingRunAdmin(ReadOnlyAdmin):
    """What each device stands with."""

    list_display = ["device", "series", "p50_latency_ns", "peak_memory_bytes", "energy_j", "accuracy"]
    list_select_related = ["device", "series"]
