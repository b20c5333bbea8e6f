"""Addresses of access under /api/v1/."""

from django.urls import path

from access.api import views

urlpatterns = [
    path("whoami", views.WhoamiView.as_view(), name="whoami"),
    path("tokens", views.TokensView.as_view(), name="tokens"),
    path("tokens/<uuid:token_id>", views.TokenView.as_view(), name="token"),
    path("people", views.PeopleView.as_view(), name="people"),
    path("people/<str:username>", views.PersonView.as_view(), name="person"),
    path("people/<str:username>/tokens", views.PersonTokensView.as_view(), name="person-tokens"),
    path("people/<str:username>/tokens/<uuid:token_id>", views.PersonTokenView.as_view(), name="person-token"),
]
