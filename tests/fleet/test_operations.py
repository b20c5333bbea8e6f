"""Running it: the worker, the first admin, logs and checks, as real processes where a process is meant."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from rest_framework.test import APIClient

from access.models import ROLE_SCOPES, Role
from fleet.operations.logs import JsonFormatter
from fleet.operations.periodic import PeriodicJob, Ticker, periodic_jobs, run_due
from registry.models import Patch
from tests.factories.fleet import make_device, make_variant

ROOT = Path(__file__).parents[2]
PROCESSES = 4


# --- Logs -----------------------------------------------------------------------------------------------------------


def formatted(*args: Any, **options: Any) -> dict[str, Any]:
    record = logging.getLogger("fleet.test").makeRecord("fleet.test", logging.INFO, "f.py", 1, *args, **options)
    line: dict[str, Any] = json.loads(JsonFormatter().format(record))
    return line


def test_log_line_is_one_json_object_with_its_fields() -> None:
    line = formatted("event_refused", (), None, extra={"attempt": "a", "seq": 3})
    assert line.pop("at").endswith("+00:00")
    assert line == {"level": "info", "logger": "fleet.test", "event": "event_refused", "attempt": "a", "seq": 3}


def test_log_line_of_an_exception_holds_it_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")  # noqa: TRY301 - the exception is what is logged
    except ValueError:
        line = formatted("job_failed", (), sys.exc_info())
    assert "ValueError: two\nlines" in line["exception"]


def test_log_line_keeps_what_json_does_not_know_as_text() -> None:
    assert formatted("x", (), None, extra={"where": Path("/a")})["where"] == "/a"


# --- Checks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("SMALLFLEET_POLL_AFTER_S", 0, "smallfleet.fleet.E001"),
        ("SMALLFLEET_POLL_AFTER_S", 86_401, "smallfleet.fleet.E001"),
        ("SMALLFLEET_DEFAULT_PRICE_PER_MB", "cheap", "smallfleet.fleet.E002"),
        ("SMALLFLEET_DEFAULT_PRICE_PER_MB", "-1", "smallfleet.fleet.E002"),
        ("SMALLFLEET_DEFAULT_PRICE_PER_MB", "NaN", "smallfleet.fleet.E002"),
    ],
)
def test_wrong_setting_is_found_and_says_what_to_do(settings: Any, name: str, value: Any, check_id: str) -> None:
    assert not [message for message in run_checks(tags=["smallfleet"]) if message.id == check_id]
    setattr(settings, name, value)
    (found,) = [message for message in run_checks(tags=["smallfleet"]) if message.id == check_id]
    assert found.hint


# --- The first admin ------------------------------------------------------------------------------------------------


def bootstrap(*options: str) -> str:
    out = StringIO()
    call_command("bootstrap_admin", *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_first_admin_can_log_in_and_has_a_token_with_all_scopes() -> None:
    made = json.loads(bootstrap("--username", "root", "--random", "--token-name", "ci", "--json"))
    assert authenticate(RequestFactory().post("/login/"), username="root", password=made["password"]) is not None
    api = APIClient(headers={"Authorization": f"Bearer {made['token']}"})
    assert set(api.get("/api/v1/whoami").json()["scopes"]) == ROLE_SCOPES[Role.ADMIN]


@pytest.mark.django_db
def test_given_password_is_never_printed(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a long enough one\n")
    assert bootstrap("--password-file", str(tmp_path / "password")).splitlines() == ["username: admin", "grants: admin"]


@pytest.mark.django_db
def test_weak_password_and_taken_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("short")
    with pytest.raises(CommandError, match="too short"):
        bootstrap("--password-file", str(tmp_path / "password"))
    bootstrap("--random")
    with pytest.raises(CommandError, match="already"):
        bootstrap("--random")


# --- Periodic jobs --------------------------------------------------------------------------------------------------


def test_jobs_run_when_they_are_due_and_a_failing_one_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    def fail() -> None:
        ran.append("fail")
        raise RuntimeError

    jobs = [PeriodicJob("fail", fail, every_s=10), PeriodicJob("work", lambda: ran.append("work"), every_s=5)]
    for now_s in (0.0, 4.9, 5.0, 10.0):
        run_due(jobs, now_s)
    assert ran == ["fail", "work", "work", "fail", "work"]
    assert [record.getMessage() for record in caplog.records] == ["periodic_job_failed"] * 2


def test_ticker_ends_the_job_in_hand_and_starts_no_other() -> None:
    started, release = threading.Event(), threading.Event()
    done: list[bool] = []

    def slow() -> None:
        started.set()
        done.append(release.wait(10))

    ticker = Ticker([PeriodicJob("slow", slow, every_s=0)])
    ticker.start()
    assert started.wait(10)
    threading.Timer(0.1, release.set).start()
    ticker.stop(timeout_s=10)
    assert done == [True]
    assert not ticker.is_alive()


@pytest.mark.django_db
def test_jobs_of_the_project_run_on_an_empty_and_on_a_used_database() -> None:
    run_due(periodic_jobs(), 0)
    old = make_variant("1.0.0")
    new = make_variant("1.1.0")
    make_device().holds(old)
    for job in periodic_jobs():
        job.run()
    assert Patch.objects.filter(base=old.artifact, target=new.artifact).exists()


# --- Processes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """A server of its own on SQLite, without any table yet."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMALLFLEET_")}
    environment = clean | {"SMALLFLEET_HOME": str(tmp_path / "home"), "SMALLFLEET_DEBUG": "1", "PYTHONPATH": str(ROOT)}
    (tmp_path / "home").mkdir()
    return environment


@pytest.fixture
def environment(bare_environment: dict[str, str]) -> dict[str, str]:
    """A server of its own on SQLite, with an empty database."""
    manage(bare_environment, "migrate", "--verbosity", "0")
    return bare_environment


def start(environment: dict[str, str], *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    return output


def manage(environment: dict[str, str], *arguments: str) -> str:
    return finish(start(environment, "manage.py", *arguments))


def test_worker_ends_cleanly_on_sigterm_and_by_itself_when_idle(environment: dict[str, str]) -> None:
    assert "exiting gracefully" in manage(environment, "run_worker", "--exit-when-idle")
    worker = start(environment, "manage.py", "run_worker")
    assert worker.stdout is not None
    assert "Starting worker" in worker.stdout.readline()
    worker.send_signal(signal.SIGTERM)
    assert "Traceback" not in finish(worker)


@pytest.mark.parametrize(
    "command",
    [
        ("run_worker",),
        ("bootstrap_admin", "--random"),
        ("create_person", "--username", "berta", "--grant", "viewer", "--random"),
        ("create_token", "--username", "berta", "--name", "laptop"),
    ],
)
def test_command_before_migrate_says_so_in_one_line(bare_environment: dict[str, str], command: tuple[str, ...]) -> None:
    process = start(bare_environment, "manage.py", *command)
    output = process.communicate(timeout=120)[0]
    assert output == "CommandError: the database has no tables yet: run `smallfleet manage migrate`\n"
    assert process.returncode == 2


def test_four_processes_write_on_one_sqlite_file(environment: dict[str, str]) -> None:
    script = "tests/fleet/sqlite_writer.py"
    finish(start(environment, script, "prepare", str(PROCESSES)))
    writers = [start(environment, script, "write", str(number)) for number in range(PROCESSES)]
    outputs = [finish(writer) for writer in writers]
    assert not any("locked" in output for output in outputs)
    attempts = PROCESSES * 8
    assert json.loads(finish(start(environment, script, "count"))) == {
        "attempts": attempts,
        "events": attempts * 5,
        "agent_bytes": attempts * 900_400,
        "server_bytes": attempts * 7,
        "rollout": "finished",
        "unseen": 0,
    }
