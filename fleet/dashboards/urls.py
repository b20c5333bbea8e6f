"""Addresses of the pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from fleet.dashboards.views import benchmarks, devices, models, overview, patches, rollouts

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("login/", LoginView.as_view(template_name="dashboards/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("models/", models.model_lines, name="model-lines"),
    path("models/<str:name>/", models.model_line, name="model-line"),
    path("models/<str:name>/deltas/", patches.patches, name="patches"),
    path("models/<str:name>/deltas/build/", patches.build_patches, name="build-patches"),
    path("rollouts/", rollouts.rollouts, name="rollouts"),
    path("rollouts/new/", rollouts.new_rollout, name="new-rollout"),
    path("rollouts/<uuid:rollout_id>/", rollouts.rollout, name="rollout"),
    path("rollouts/<uuid:rollout_id>/live/", rollouts.rollout_live, name="rollout-live"),
    path("rollouts/<uuid:rollout_id>/<str:verb>/", rollouts.change_rollout, name="rollout-verb"),
    path("devices/", devices.devices, name="devices"),
    path("devices/<uuid:device_id>/", devices.device, name="device"),
    path("benchmarks/", benchmarks.benchmarks, name="benchmarks"),
]
