"""Addresses of devices under /api/v1/."""

from django.urls import path

from fleet.devices.api import views

urlpatterns = [
    path("enroll", views.EnrollView.as_view(), name="enroll"),
    path("link-classes", views.LinkClassesView.as_view(), name="link-classes"),
    path("link-classes/<str:name>", views.LinkClassView.as_view(), name="link-class"),
    path("groups", views.GroupsView.as_view(), name="groups"),
    path("groups/<str:name>", views.GroupView.as_view(), name="group"),
    path("enrollment-tokens", views.EnrollmentTokensView.as_view(), name="enrollment-tokens"),
    path("enrollment-tokens/<uuid:token_id>", views.EnrollmentTokenView.as_view(), name="enrollment-token"),
    path(
        "enrollment-tokens/<uuid:token_id>/serials",
        views.EnrollmentSerialsView.as_view(),
        name="enrollment-serials",
    ),
    path(
        "enrollment-tokens/<uuid:token_id>/serials/<str:serial>",
        views.EnrollmentSerialView.as_view(),
        name="enrollment-serial",
    ),
    path("credential", views.CredentialView.as_view(), name="credential"),
    path("devices", views.DevicesView.as_view(), name="devices"),
    path("devices/approve", views.ApproveDevicesView.as_view(), name="devices-approve"),
    path("devices/reject", views.RejectDevicesView.as_view(), name="devices-reject"),
    path("devices/<uuid:device_id>", views.DeviceView.as_view(), name="device"),
    path("devices/<uuid:device_id>/revoke", views.RevokeDeviceView.as_view(), name="device-revoke"),
    path("devices/<uuid:device_id>/rotate", views.RotateDeviceView.as_view(), name="device-rotate"),
    path("devices/<uuid:device_id>/certificate", views.DeviceCertificateView.as_view(), name="device-certificate"),
]
