"""Addresses of the registry under /api/v1/."""

from django.urls import path

from registry.api import views

urlpatterns = [
    path("artifacts/sha256/<str:sha256>", views.ArtifactView.as_view(), name="artifact"),
    path("models", views.ModelsView.as_view(), name="models"),
    path("models/<str:model>", views.ModelView.as_view(), name="model"),
    path("models/<str:model>/budget", views.BudgetView.as_view(), name="budget"),
    path("models/<str:model>/deltas", views.DeltasView.as_view(), name="deltas"),
    path("models/<str:model>/versions/<str:version>", views.VersionView.as_view(), name="version"),
    path("models/<str:model>/versions/<str:version>/publish", views.PublishView.as_view(), name="publish"),
    path("models/<str:model>/versions/<str:version>/yank", views.YankView.as_view(), name="yank"),
    path(
        "models/<str:model>/versions/<str:version>/variants/<str:variant>", views.VariantView.as_view(), name="variant"
    ),
    path(
        "models/<str:model>/versions/<str:version>/variants/<str:variant>/evaluations",
        views.EvaluationsView.as_view(),
        name="evaluations",
    ),
]
