"""Addresses of webhooks under /api/v1/."""

from django.urls import path

from fleet.webhooks.api import views

urlpatterns = [
    path("webhooks", views.WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<uuid:webhook_id>", views.WebhookView.as_view(), name="webhook"),
    path("webhooks/<uuid:webhook_id>/rotate", views.RotateView.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:webhook_id>/ping", views.PingView.as_view(), name="webhook-ping"),
    path("webhooks/<uuid:webhook_id>/deliveries", views.DeliveriesView.as_view(), name="webhook-deliveries"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver",
        views.RedeliverView.as_view(),
        name="webhook-redeliver",
    ),
]
