"""Addresses of the audit record under /api/v1/."""

from django.urls import path

from access.audit.api import views

urlpatterns = [
    path("audit", views.AuditView.as_view(), name="audit"),
    path("audit/head", views.HeadView.as_view(), name="audit-head"),
    path("audit/export", views.ExportView.as_view(), name="audit-export"),
]
