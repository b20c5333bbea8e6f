"""System checks, and an admin that changes nothing."""

from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django.fixtures import Settings

from access.models import Role
from registry.checks import CHECKS, check_inspection, check_sandbox, check_store
from registry.storage.folder import FolderStore
from tests.factories.people import make_person
from tests.factories.registry import make_line, make_patch, make_variant, make_version


def _ids(settings: Settings, address: str) -> list[str | None]:
    settings.SMALLFLEET_STORE = address
    return [message.id for message in check_store()]


def test_store_that_can_be_written_passes(settings: Settings, tmp_path: Path) -> None:
    assert _ids(settings, str(tmp_path / "made" / "later")) == []


def test_wrong_address_is_an_error_with_a_hint(settings: Settings) -> None:
    settings.SMALLFLEET_STORE = "relative"
    (message,) = check_store()
    assert message.id == "registry.E001"
    assert "SMALLFLEET_STORE" in (message.hint or "")


def test_store_below_a_file_is_an_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _ids(settings, str(tmp_path / "file" / "store")) == ["registry.E002"]


def test_staging_of_an_object_store_has_to_be_writable_too(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.SMALLFLEET_STAGING = str(tmp_path / "file" / "staging")
    assert _ids(settings, "s3://bucket") == ["registry.E003"]


def test_staging_on_another_filesystem_is_an_error(settings: Settings, tmp_path: Path) -> None:
    folder = FolderStore(tmp_path)
    folder.artifacts.mkdir()
    folder.staging.symlink_to("/proc/self/fdinfo")
    assert folder.staging.stat().st_dev != folder.artifacts.stat().st_dev
    assert _ids(settings, str(tmp_path)) == ["registry.E004"]


def test_too_little_memory_for_the_check_is_a_warning(settings: Settings) -> None:
    assert list(check_inspection()) == []
    settings.SMALLFLEET_INSPECTION_MEMORY_BYTES = 1000
    assert [message.id for message in check_inspection()] == ["registry.W001"]


def test_checks_run_with_the_others() -> None:
    from django.core.checks.registry import registry

    assert set(CHECKS) <= registry.registered_checks


@pytest.mark.django_db
def test_admin_shows_everything_and_changes_nothing(client: Client) -> None:
    variant = make_variant(make_version(make_line()))
    make_patch(None, variant.artifact, b"patch")
    user = make_person(Role.ADMIN)
    client.force_login(user)
    request = RequestFactory().get("/admin/")
    request.user = user
    models = [model for model in admin.site._registry if model._meta.app_label == "registry"]
    assert set(models) == set(apps.get_app_config("registry").get_models())
    for model in models:
        site = admin.site._registry[model]
        allowed = [
            site.has_add_permission(request),
            site.has_change_permission(request),
            site.has_delete_permission(request),
        ]
        assert allowed == [False, False, False]
        assert client.get(reverse(f"admin:registry_{model._meta.model_name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:registry_{model._meta.model_name}_add")).status_code == 403


@pytest.mark.parametrize(("is_required", "check_id"), [(True, "registry.E006"), (False, "registry.W002")])
def test_machine_without_a_filter_of_system_calls_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, is_required: bool, check_id: str
) -> None:
    assert list(check_sandbox()) == []
    monkeypatch.setattr("benchmarks.seccomp.ARCHITECTURES", {})
    settings.SMALLFLEET_SANDBOX_REQUIRED = is_required
    assert [message.id for message in check_sandbox()] == [check_id]
