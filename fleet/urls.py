"""Where everything is: `/api/v1/` is the wire of all packages, `/admin/` is read-only, the rest are the operators' pages."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularJSONAPIView

api_v1: list[URLPattern | URLResolver] = [
    path("openapi.json", SpectacularJSONAPIView.as_view(permission_classes=[]), name="openapi"),
    path("", include("access.api.urls")),
    path("", include("access.audit.api.urls")),
    path("", include("registry.api.urls")),
    path("", include("registry.studies.api.urls")),
    path("", include("registry.trust.api.urls")),
    path("", include("fleet.devices.api.urls")),
    path("", include("fleet.rollouts.api.urls")),
    path("", include("fleet.ledger.api.urls")),
    path("", include("fleet.measurements.api.urls")),
    path("", include("fleet.webhooks.api.urls")),
]

urlpatterns = [
    path("api/v1/", include((api_v1, "api"))),
    path("admin/", admin.site.urls),
    path("", include("fleet.dashboards.urls")),
]

handler400 = "access.problems.bad_request"
handler403 = "access.problems.permission_denied"
handler404 = "access.problems.not_found"
handler500 = "access.problems.server_error"
