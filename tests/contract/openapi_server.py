"""A real server with a filled database, and the three who ask it everything that the OpenAPI document allows: an admin, a viewer, a device."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx

from client.processes import free_port
from tests.factories.databases import own_database

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
IDENTITIES = ("admin", "viewer", "device")
# Rates are for tests of rates: here every request is to reach its view.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "SMALLFLEET_WEB_WORKERS": "2",
    **{f"SMALLFLEET_RATE_{kind}": "100000/second" for kind in ("ENROLL", "REFUSED", "POLL", "MESSAGES", "ARTIFACTS")},
}
_FILL = """
import json
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from fleet.devices.models import Device
from fleet.rollouts.models import Rollout
from registry.models import Artifact
from tests.factories.fleet import make_device, make_enrollment_token
from tests.factories.people import make_person, token_of
from tests.factories.scenario import make_scenario
make_scenario(4)
make_enrollment_token()
from registry.storage import store
for one in Artifact.objects.all():
    with store().stage() as staged:
        staged.write(bytes(one.size_bytes))
        store().commit(staged, one.sha256)
credentials = {role: token_of(make_person(role)) for role in ("admin", "viewer")}
device = make_device("asking")
credentials["device"] = device.api._credentials["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
known = {
    "model": ["digits"], "version": ["1.0.0", "1.1.0"], "variant": ["fp32", "int8"], "username": ["viewer"],
    "device_id": [str(one.pk) for one in Device.objects.exclude(pk=device.row.pk)[:3]],
    "rollout_id": [str(one.pk) for one in Rollout.objects.all()[:3]],
    "sha256": [one.sha256 for one in Artifact.objects.all()[:3]],
    "file": ["timestamp.json", "1.root.json", "1.targets.json"],
    "name": ["berlin", "lte", "wifi"],
}
print(json.dumps({"credentials": credentials, "known": known}))
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Where it answers, the credential of each who asks, and names that are there by the parameter they stand for."""

    url: str
    credentials: dict[str, str]
    known: dict[str, list[str]]
    log: Path

    def asks(self, identity: str, *options: str) -> list[str]:
        """The command that asks every route as somebody, by the committed document."""
        checks = ",".join(CHECKS)
        return [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(DOCUMENT), "--url", self.url),
            *("--header", f"Authorization: Bearer {self.credentials[identity]}", "--checks", checks),
            *("--continue-on-failure", "--no-shrink", "--request-timeout", "60", "--workers", "2", *options),
        ]

    def environment(self) -> dict[str, str]:
        """Of that command: its hooks, and the names that they give out."""
        hooks = {"SCHEMATHESIS_HOOKS": "tests.contract.openapi_hooks", "SMALLFLEET_TEST_KNOWN": json.dumps(self.known)}
        return {**os.environ, **hooks, "PYTHONPATH": str(ROOT)}


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A gunicorn with two workers on a filled database of its own: where tests run on PostgreSQL on that server, else SQLite in `home`."""
    server = os.environ.get("SMALLFLEET_DATABASE_URL", "")
    own = (
        own_database(server)
        if server.startswith("postgres")
        else nullcontext(f"sqlite:///{home / 'smallfleet.sqlite3'}")
    )
    with own as database, _served(home, database) as running:
        yield running


@contextmanager
def _served(home: Path, database: str) -> Iterator[Served]:
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SMALLFLEET_")}
    environment = {
        **inherited,
        **ENVIRONMENT,
        "SMALLFLEET_HOME": str(home),
        "SMALLFLEET_DATABASE_URL": database,
        "SMALLFLEET_DEBUG": "1",
    }
    filled = subprocess.run(
        [sys.executable, "-c", _FILL], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=120
    )
    told = json.loads(filled.stdout.splitlines()[-1])
    command = [sys.executable, "-m", "gunicorn", "-c", "fleet/gunicorn_conf.py", "-b", f"127.0.0.1:{port}"]
    log = home / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, "fleet.wsgi:application"], cwd=ROOT, env=environment, stderr=output) as process,
    ):
        try:
            _wait(process, f"http://127.0.0.1:{port}/api/v1/whoami")
            yield Served(f"http://127.0.0.1:{port}", told["credentials"], told["known"], log)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not answer within 60 s")
