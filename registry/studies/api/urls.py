"""Addresses of studies under /api/v1/."""

from django.urls import path

from registry.studies.api import views

urlpatterns = [
    path("models/<str:model>/studies", views.StudiesView.as_view(), name="studies"),
    path("models/<str:model>/studies/<str:name>", views.StudyView.as_view(), name="study"),
]
