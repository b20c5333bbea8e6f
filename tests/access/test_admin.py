"""Django's admin shows and changes nothing, people and their passwords included."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from tests.factories.people import make_person

ADDRESSES = [model._meta.label_lower.replace(".", "/") for model in admin.site._registry]


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(make_person("admin"))
    return client


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_list_shows_and_adding_is_refused(staff: Client, address: str) -> None:
    assert staff.get(f"/admin/{address}/").status_code == 200
    assert staff.get(f"/admin/{address}/add/").status_code == 403


def test_person_is_shown_without_the_hash_and_cannot_be_changed(staff: Client) -> None:
    person = make_person("viewer")
    address = f"/admin/auth/user/{person.pk}"
    page = staff.get(f"{address}/change/")
    assert page.status_code == 200
    assert person.password not in page.content.decode()
    assert staff.post(f"{address}/change/", {"username": "viewer", "is_superuser": "on"}).status_code == 403
    assert staff.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    staff.post(f"{address}/password/", {"password1": "another long secret", "password2": "another long secret"})
    assert User.objects.get(pk=person.pk).password == person.password
