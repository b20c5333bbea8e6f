"""Addresses of rollouts, polls and events under /api/v1/."""

from django.urls import path

from fleet.rollouts.api import device_views, patch_views, views

urlpatterns = [
    path("poll", device_views.PollView.as_view(), name="poll"),
    path("events", device_views.EventsView.as_view(), name="events"),
    path("models/<str:model>/deltas/plan", patch_views.PatchPlanView.as_view(), name="patch-plan"),
    path("rollouts", views.RolloutsView.as_view(), name="rollouts"),
    path("rollouts/<uuid:rollout_id>", views.RolloutView.as_view(), name="rollout"),
    path("rollouts/<uuid:rollout_id>/start", views.StartView.as_view(), name="rollout-start"),
    path("rollouts/<uuid:rollout_id>/pause", views.PauseView.as_view(), name="rollout-pause"),
    path("rollouts/<uuid:rollout_id>/resume", views.ResumeView.as_view(), name="rollout-resume"),
    path("rollouts/<uuid:rollout_id>/abort", views.AbortView.as_view(), name="rollout-abort"),
]
