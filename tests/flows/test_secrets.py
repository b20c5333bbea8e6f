"""No secret is in a log, an answer, an audit record, the list of processes or the environment of a child: markers are planted and looked for."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from client.demo.models import LINE
from client.errors import ClientError
from client.processes import ChildFailedError, free_port, smallfleet
from client.stack import Stack
from tests.flows.conftest import QUICK, Flow

PASSWORD = "planted-password-7Kq2vXw9"
S3_SECRET = "planted-s3-secret-4Jm8"
# Children that read what somebody else made: nothing of the server's or the agent's own is theirs.
CHILDREN = (b"registry.inspection", b"registry.deltas.child", b"agent.apply_child", b"agent.trust", b"benchmarks.child")


class Watch:
    """Looks at every process of the machine, again and again: command lines, and what children find in their environment."""

    def __init__(self) -> None:
        self.command_lines: set[bytes] = set()
        self.environments: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    command = (process / "cmdline").read_bytes()
                    self.command_lines.add(command)
                    if any(name in command for name in CHILDREN):
                        self.environments.add((process / "environ").read_bytes())
                except OSError:  # it has ended since
                    continue


@pytest.fixture
def flow(prepared: Stack, tmp_path: Path) -> Iterator[Flow]:
    """A stack that says all it can say."""
    home = tmp_path / "stack"
    shutil.copytree(prepared.home, home)
    told = {"SMALLFLEET_LOG_LEVEL": "DEBUG", "SMALLFLEET_S3_SECRET_ACCESS_KEY": S3_SECRET}
    stack = Flow(home, port=free_port(), environment=told)
    stack.admin = prepared.admin
    with stack:
        yield stack


def fail_in_many_ways(flow: Flow, secrets: dict[str, str]) -> list[httpx.Response]:
    """Requests that are refused with secrets in every place where one can stand."""
    api = f"{flow.url}/api/v1"
    admin = {"Authorization": f"Bearer {flow.token}"}
    with httpx.Client(trust_env=False, timeout=60) as client:
        page = client.get(f"{flow.url}/login/")
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": page.cookies.get("csrftoken", "")}
        return [
            client.post(f"{flow.url}/login/", data=form),
            client.get(f"{api}/whoami", headers={"Authorization": f"Bearer {secrets['token']}x"}),
            client.get(f"{api}/poll", headers={"Authorization": f"Bearer {secrets['device credential']}x"}),
            client.post(f"{api}/enroll", json={"token": secrets["enrollment token"], "name": "again"}),
            client.post(f"{api}/enroll", content=json.dumps({"token": secrets["enrollment token"]})[:-1]),
            client.post(
                f"{api}/people", headers=admin, json={"username": "a b", "password": PASSWORD, "grants": ["x"]}
            ),
            client.post(f"{api}/people", headers=admin, json={"username": PASSWORD, "password": PASSWORD}),
            client.put(f"{api}/artifacts/sha256/{'0' * 64}?kind=model", headers=admin, content=b"no model"),
        ]


def test_secrets_are_seen_nowhere_but_where_they_belong(flow: Flow, tmp_path: Path) -> None:
    with Watch() as watch:
        flow.publish("1.0.0", "fp32")
        device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=QUICK)
        flow.once(device)
        flow.finish(flow.roll_out("1.0.0", "fp32"), device)
        with flow.rest() as rest:
            webhook = rest.post("webhooks", {"url": "https://hooks.example.org/x", "kinds": ["version_yanked"]})
            enrollment = rest.post("enrollment-tokens", {"name": "spent", "uses": 1})["token"]
        (tmp_path / "password").write_text(PASSWORD)
        person = ("--username", "berta", "--grant", "viewer", "--password-file", str(tmp_path / "password"))
        flow.cli("manage", "create_person", *person)
        secrets = {
            "password": PASSWORD,
            "admin's password": flow.admin["password"],
            "token": flow.token,
            "enrollment token": enrollment.partition(":")[0],
            "device credential": json.loads((device.state_dir / "identity.json").read_bytes())["credential"],
            "webhook secret": webhook["secret"],
            "object store's key": S3_SECRET,
            "secret key": (flow.home / "secret-key").read_text(),
            **{str(pem.relative_to(flow.home)): pem.read_text().splitlines()[1] for pem in flow.home.rglob("*.pem")},
        }
        answers = fail_in_many_ways(flow, secrets)
        with pytest.raises(ChildFailedError) as failed:
            flow.cli("manage", "create_person", *person)  # the name is taken
        with pytest.raises((ChildFailedError, ClientError)):
            flow.children.run(*smallfleet("models"), environment={"SMALLFLEET_TOKEN": f"{flow.token}x"})
        with flow.rest() as rest:
            audit = json.dumps(list(rest.get("audit", limit=1000)["results"]))
    logs = b"\n".join(log.read_bytes() for log in (flow.home / "logs").rglob("*") if log.is_file())
    seen = {
        "logs": logs,
        "answers": b"\n".join(answer.content + str(answer.headers).encode() for answer in answers),
        "audit records": audit.encode(),
        "errors": str(failed.value).encode(),
        "command lines": b"\n".join(watch.command_lines),
        "children's environments": b"\n".join(watch.environments),
    }
    assert all(answer.status_code < 500 for answer in answers)
    assert len(secrets) > 8, "the keys were not found"
    assert any(b"create_person" in line for line in watch.command_lines), "no process was seen"
    assert len(watch.environments) > 2, "no child was seen"
    assert all(len(text) > 20 for text in seen.values())
    found = {
        (name, place) for name, secret in secrets.items() for place, text in seen.items() if secret.encode() in text
    }
    assert found == set()
