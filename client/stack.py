"""A whole Smallfleet on this machine, of real processes: server, worker and agents in one folder.

What `smallfleet demo` shows, what the flow tests check, and what the load benchmarks measure is this. The settings are the embedded default
(SQLite, a folder, jobs in the database) with a fast pace of polls and jobs.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from client.processes import Children, smallfleet
from client.publishing import Signing
from client.rest import RestClient
from client.trust.folder import LineFolder
from client.trust.keys import KeyRole, load_key
from client.trust.line import LineTrust

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class StackDevice:
    """An enrolled agent of the stack: its name, configuration file and state directory."""

    name: str
    config: Path
    state_dir: Path

    def current_model(self, line: str) -> Path:
        """The stable path that serving code reads."""
        return self.state_dir / "models" / line / "current" / "model.onnx"


class Stack:
    """Server and worker in `home`. Entering the context starts them; leaving it ends every process that it started.

    Args:
        home: a folder of its own; everything lies in it.
        port: TCP port on loopback.
        environment: settings on top of the stack's own.
        worker: start a worker too, so that deltas are built.
    """

    def __init__(
        self, home: Path, *, port: int, environment: Mapping[str, str] | None = None, worker: bool = True
    ) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.worker = worker
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "SMALLFLEET_HOME": str(home / "server"),
            "SMALLFLEET_SECRET_KEY": _secret_key(home),
            "SMALLFLEET_POLL_AFTER_S": "1",
            "SMALLFLEET_JOBS_INTERVAL_S": "1",
            "SMALLFLEET_LAST_SEEN_FLUSH_S": "5",
            # Many devices at one address, and simulated ones whose days pass in minutes.
            **{f"SMALLFLEET_RATE_{what}": "" for what in ("ENROLL", "REFUSED", "POLL", "MESSAGES", "ARTIFACTS")},
            "SMALLFLEET_SERVER": self.url,
            "SMALLFLEET_TRUST_DIR": str(home / "trust"),
            **(environment or {}),
        }
        self.children = Children(home / "logs", self.environment)
        self.admin: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            if not self.admin:
                self.prepare()
            self.start()
        except BaseException:
            self.children.end_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.children.end_all()

    @property
    def token(self) -> str:
        """The admin's API token."""
        return self.admin["token"]

    def prepare(self) -> None:
        """Make the database and the admin. What it made is in `admin` and below `home`, and may be copied."""
        self.cli("manage", "migrate", "--verbosity", "0")
        self.admin = json.loads(
            self.cli("manage", "bootstrap_admin", "--username", ADMIN, "--random", "--token-name", "stack", "--json")
        )

    def start(self) -> None:
        """Start server and worker, and wait until the server answers."""
        self.children.environment["SMALLFLEET_TOKEN"] = self.token
        self.start_server()
        if self.worker:
            self.children.start("worker", *smallfleet("worker"))

    def start_server(self) -> None:
        """Start the web server and wait until it answers."""
        self.children.start("server", *smallfleet("server", "--bind", self.url.removeprefix("http://")))
        self.children.wait_until("server", self.answers)

    def answers(self) -> bool:
        """Whether the server answers, whatever it says."""
        try:
            return (
                httpx.get(f"{self.url}/api/v1/whoami", timeout=2.0, trust_env=False).status_code
                == httpx.codes.UNAUTHORIZED
            )
        except httpx.TransportError:
            return False

    def cli(self, *arguments: str) -> str:
        """Run one of our sub-commands as the admin; its standard output."""
        return self.children.run(*smallfleet(*arguments))

    def cli_json(self, *arguments: str) -> Any:
        """Run a sub-command with `--json`; what it printed."""
        return json.loads(self.cli(*arguments, "--json"))

    def rest(self) -> RestClient:
        """The REST API as the admin."""
        return RestClient(self.url, token=self.token)

    def trust(self, model: str) -> None:
        """Give a model line keys, a root and an empty list, unless it has them. The line is made where there is none."""
        if not (self.home / "trust" / model).exists():
            self.cli("trust", "init", model, "--create-model")

    def signing(self, rest: RestClient, model: str) -> Signing:
        """What this stack's publisher of the line signs with."""
        folder = LineFolder.of(self.home / "trust", model)
        return Signing(LineTrust(rest, folder), load_key(folder.publisher_key, KeyRole.PUBLISHER))

    def enroll(
        self, name: str, *, models: tuple[str, ...], device_class: str, link_class: str | None = None, options: str = ""
    ) -> StackDevice:
        """Enroll an agent: trust for its lines, a token with their pins, a configuration file with `options` (TOML) at its end, its own `enroll`."""
        for model in models:
            self.trust(model)
        folder = self.home / "devices" / name
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "agent.toml"
        config.write_text(
            f'server = "{self.url}"\nstate_dir = "{folder / "state"}"\nname = "{name}"\ndevice_class = "{device_class}"\n'
            f"models = {json.dumps(list(models))}\n{options}"
        )
        link = ("--link-class", link_class) if link_class else ()
        lines = [argument for model in models for argument in ("--model", model)]
        token = self.cli_json("enroll-token", "--name", name, *link, *lines)["token"]
        command = smallfleet("agent", "enroll", "--config", str(config))
        self.children.run(*command, environment={"SMALLFLEET_ENROLLMENT_TOKEN": token})
        return StackDevice(name, config, folder / "state")

    def start_agent(self, device: StackDevice) -> None:
        """Start the device's daemon in the background."""
        self.children.start(device.name, *smallfleet("agent", "run", "--config", str(device.config)))


def _secret_key(home: Path) -> str:
    """The stack's own secret key, kept beside its database so that sessions survive a restart."""
    file = home / "secret-key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(50))
    return file.read_text()
