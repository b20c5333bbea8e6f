"""The measurements in Django's admin, read-only."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.measurements.models import BenchmarkReport


@admin.register(BenchmarkReport)
class BenchmarkReportAdmin(ReadOnlyAdmin):
    """Benchmark reports."""

    list_display = ["run_id", "device", "model_line", "device_class", "validity", "p50_latency_ns", "received_at"]
    list_select_related = ["device", "model_line"]
