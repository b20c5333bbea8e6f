"""Addresses of the ledger under /api/v1/."""

from django.urls import path

from fleet.ledger.api import views

urlpatterns = [
    path("models/<str:model>/costs", views.CostsView.as_view(), name="costs"),
    path("rollouts/<uuid:rollout_id>/ledger", views.LedgerView.as_view(), name="rollout-ledger"),
]
