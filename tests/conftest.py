"""What all tests share: service tests are chosen by variables, and CI allows no skip."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from pytest_django.fixtures import Settings

# marker -> the variable that switches its tests on
SERVICES = {
    "postgres": "SMALLFLEET_TEST_POSTGRES",
    "s3": "SMALLFLEET_TEST_S3",
    "browser": "SMALLFLEET_TEST_BROWSER",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests whose service is not switched on, with the name of the switch."""
    for item in items:
        for marker, variable in SERVICES.items():
            if item.get_closest_marker(marker) and not os.environ.get(variable):
                item.add_marker(pytest.mark.skip(reason=f"set {variable} to run it (see CONTRIBUTING.md)"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skipped tests where none may be."""
    if os.environ.get("SMALLFLEET_TEST_NO_SKIPS") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("SMALLFLEET_TEST_NO_SKIPS is set and tests were skipped: failing", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped tests where none may be."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SMALLFLEET_TEST_NO_SKIPS") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _emptied_after_each_test() -> Iterator[None]:
    """Tests that commit end with empty tables; the audit record's triggers, which would refuse that, are away just then."""
    triggers = import_module("access.migrations.0002_audit_is_append_only_and_chained")
    empty_all_tables = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # Django offers no other place

    def run(statements: dict[str, list[str]]) -> None:
        with connection.cursor() as cursor:
            for statement in statements[connection.vendor]:
                cursor.execute(statement)

    def without_triggers(case: TransactionTestCase) -> None:
        run(triggers.REMOVE)
        empty_all_tables(case)
        run(triggers.ADD)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", without_triggers)
        yield


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    """No test sees what another left in the process's cache."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def store(settings: Settings, tmp_path: Path) -> Path:
    """A fresh, empty store of artifacts."""
    path = tmp_path / "store"
    settings.SMALLFLEET_STORE = str(path)
    return path
