"""Addresses of trust under /api/v1/. Below `models/<model>/metadata/` lies what a TUF client takes for the repository's metadata."""

from django.urls import path

from registry.trust.api import views

urlpatterns = [
    path("trust/online-keys", views.OnlineKeysView.as_view(), name="online-keys"),
    path("models/<str:model>/metadata", views.TrustView.as_view(), name="trust"),
    path("models/<str:model>/metadata/news", views.NewsView.as_view(), name="trust-news"),
    path("models/<str:model>/metadata/<str:file>", views.MetadataView.as_view(), name="metadata"),
    path("models/<str:model>/targets/<str:version>/<str:file>", views.TargetView.as_view(), name="target"),
]
