"""Puts the reports that are there into their series. May be run again: it only looks at reports without one."""

from dataclasses import asdict
from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Pure readers of a document whose schema only grows; a database that is made today has no report to read here.
from fleet.measurements.reading import conditions_of, figures_of


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    reports = apps.get_model("measurements", "BenchmarkReport")
    for report in reports.objects.filter(series=None).select_related("device").order_by("received_at", "pk").iterator(500):
        _take(apps, report)


def _take(apps: Apps, report: Any) -> None:
    series_model = apps.get_model("measurements", "BenchmarkSeries")
    conditions = conditions_of(report.report, device_class=report.device_class or report.device.device_class)
    series, _ = series_model.objects.get_or_create(
        model_line_id=report.model_line_id, artifact_id=report.artifact_id, **asdict(conditions)
    )
    # Histograms of these reports have the first rulers' buckets, which are not added up.
    series.runs += 1
    series.valid_runs += report.validity == "valid"
    series.invalid_runs += report.validity == "invalid"
    series.save()
    if report.validity != "invalid":
        standing = apps.get_model("measurements", "StandingRun").objects.filter(device_id=report.device_id)
        # As `services._let_stand` does: a device stands no more for the runtime that it had before.
        alike = ("model_line_id", "artifact_id", "configuration", "providers", "power_mode")
        standing.filter(**{f"series__{name}": getattr(series, name) for name in alike}).exclude(series=series).delete()
        standing.update_or_create(
            series=series, device_id=report.device_id, defaults={"run": report, **asdict(figures_of(report.report))}
        )
    report.series = series
    report.save(update_fields=["series"])


class Migration(migrations.Migration):
    dependencies = [("measurements", "0002_reports_stand_in_series")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
