"""Addresses of measurements under /api/v1/."""

from django.urls import path

from fleet.measurements.api import views

urlpatterns = [path("reports", views.ReportsView.as_view(), name="reports")]
