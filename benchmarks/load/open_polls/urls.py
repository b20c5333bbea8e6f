"""The server's addresses, and the same poll without a credential and without a limit."""

from typing import Any

from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from fleet.devices.models import Device
from fleet.rollouts.api.device_views import PollView
from fleet.urls import handler400, handler403, handler404, handler500
from fleet.urls import urlpatterns as served

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class Believed(BaseAuthentication):
    """Whoever the address names."""

    def authenticate(self, request: Request) -> tuple[Device, None]:
        context: dict[str, Any] = request.parser_context or {}
        return Device.objects.get(pk=context["kwargs"]["device_id"]), None


class OpenPollView(PollView):
    """The poll of a device that is believed, as often as it likes."""

    authentication_classes = [Believed]
    throttle_classes = []

    def get(self, request: Request, **_kwargs: Any) -> Any:
        return super().get(request)


urlpatterns = [*served, path("open/poll/<uuid:device_id>", OpenPollView.as_view())]
