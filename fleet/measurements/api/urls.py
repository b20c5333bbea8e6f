"""Addresses of measurements under /api/v1/."""

from django.urls import path

from fleet.measurements.api import views

urlpatterns = [
    path("reports", views.ReportsView.as_view(), name="reports"),
    path("reports/<uuid:run_id>", views.ReportView.as_view(), name="report"),
    path(
        "models/<str:model>/versions/<str:version>/budget-check", views.BudgetCheckView.as_view(), name="budget-check"
    ),
    path("models/<str:model>/benchmarks", views.BenchmarksView.as_view(), name="model-benchmarks"),
]
