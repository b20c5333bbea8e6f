"""The scene of every attack: a real server, a real publisher, a real device that has installed models from them, and the moment of the theft.

It is made once, by the programs that a user runs, and copied for each test: the server's folder, the trust folder and the device's state. What
happened before the theft, all signed by the publisher of the line `digits`:

    list 2  0.9.0/fp32                  installed: `previous`
    list 3  0.9.5/fp32                  never installed here
    list 4  1.0.0/fp32                  installed: `current`
    list 5  1.0.5/fp32                  good, and withdrawn later
    list 6  1.0.6/fp32                  for devices of the class pi4 alone; the one here is a pi5
    list 7  1.0.7/fp32                  its golden outputs are another model's: it fails on every device; the device `before` has seen this list
    list 8  1.0.5 is gone (yanked)      the device `after` has seen this list
    list 9  1.1.0/fp32                  rolled out to everybody; no device has heard of it when the server is stolen

The line `other` has the same owner, publisher and server: the same keys.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from client.demo.models import FOLDER, DemoModel
from client.processes import Children, free_port, smallfleet
from client.stack import Stack, StackDevice
from tests.attacks.thief import LINE, Thief, altered, digest

# Short, for servers that drip; the real one may be busy.
IMPATIENT, PATIENT = "timeout_s = 1\n", "timeout_s = 30\n"
OPTIONS = f"[bench]\nenabled = false\n[download]\n{IMPATIENT}[policy]\nretry_failed_s = 0\nmax_delta_wait_s = 0\n"
OTHER = "other"
BEFORE, AFTER = "before", "after"
LISTS = {"0.9.0": 2, "0.9.5": 3, "1.0.0": 4, "1.0.5": 5, "1.0.6": 6, "1.0.7": 7, "withdrawn": 8, "1.1.0": 9}
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command of the agent ended."""

    exit_code: int
    log: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device of its own: a copied state, and the real agent on it."""

    config: Path
    state_dir: Path
    children: Children

    def run(self, *arguments: str, clock: str = "", timeout_s: float = 60.0, told: str = "") -> Ended:
        """Run a command of the agent to its end; `clock` is what its clocks are off (`agent.clock`)."""
        command = smallfleet("agent", arguments[0], "--config", str(self.config), *arguments[1:])
        environment = {**self.children.environment, "SMALLFLEET_CLOCK": clock}
        done = subprocess.run(
            command,
            input=told,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment,
            cwd=REPOSITORY,
        )
        return Ended(done.returncode, done.stderr)

    def once(self, *, later: timedelta = timedelta()) -> Ended:
        """Poll once and do what is asked, so much later: by the wall clock and by the time since boot."""
        seconds = later.total_seconds()
        return self.run("once", clock=f"wall@{seconds},boot@{seconds}" if later else "")

    def be_patient(self) -> None:
        """Let its owner give servers more time from now on."""
        self.config.write_text(self.config.read_text().replace(IMPATIENT, PATIENT))

    def once_with_clock_set_back(self, *, later: timedelta) -> Ended:
        """The same so much later, when the wall clock was set back to now."""
        return self.run("once", clock=f"boot@{later.total_seconds()}")

    @property
    def served(self) -> str | None:
        """The digest of what serving code reads."""
        file = self.state_dir / "models" / LINE / "current" / "model.onnx"
        return digest(file.read_bytes()) if file.exists() else None

    def whole_status(self) -> Any:
        """What `agent status --json` says."""
        return json.loads(self.children.run(*smallfleet("agent", "status", "--json", "--config", str(self.config))))

    def status(self) -> Any:
        """What it says of the line."""
        (line,) = self.whole_status()["installations"]
        return line


@dataclass(slots=True)
class Attacker:
    """The attacker's process, and what it was told."""

    log: Path

    def requests(self, path: str) -> list[dict[str, Any]]:
        """Requests whose path below /api/v1/ begins so, in their order."""
        asked = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [one for one in asked if one["path"].startswith(f"/api/v1/{path}")]

    def told_rule(self) -> str | None:
        """The rule of the last saying of the device."""
        said = [one["body"]["installations"][0] for one in self.requests("poll") if one["body"]]
        refused = said[-1].get("refused") if said else None
        return None if refused is None else str(refused["rule"])

    def events(self) -> list[dict[str, Any]]:
        """All events that the device has delivered."""
        return [event for one in self.requests("events") for event in one["body"]["events"]]


@dataclass(slots=True)
class Scene:
    """What was prepared, and is only ever copied."""

    stack: Stack
    port: int
    models: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    enrollment: str = ""

    @property
    def bundle(self) -> Path:
        """An honest offline bundle of 1.1.0."""
        return self.stack.home / "1.1.0.bundle"

    @property
    def server_home(self) -> Path:
        return self.stack.home / "server"

    @property
    def publisher_key(self) -> Path:
        return self.stack.home / "trust" / LINE / "publisher.pem"


def prepare(home: Path) -> Scene:
    """Play the story of this module's beginning, and stop the server."""
    port = free_port()
    stack = Stack(home, port=port, worker=False)
    scene = Scene(stack, port)
    with stack:
        _begin_trust(stack)
        for version in ("0.9.0", "0.9.5", "1.0.0"):
            _publish(scene, version)
        device = stack.enroll("gate", models=(LINE,), device_class="pi5", options=OPTIONS)
        _look(stack, device)
        for version in ("0.9.0", "1.0.0"):
            _install(scene, device, version)
        _publish(scene, "1.0.5")
        _publish(scene, "1.0.6", "--device-class", "pi4")
        _publish(scene, "1.0.7")
        _look(stack, device)
        _keep(scene, device, BEFORE)
        stack.cli("yank", LINE, "1.0.5", "--reason", "it was found to be wrong")
        _look(stack, device)
        _keep(scene, device, AFTER)
        _publish(scene, "1.1.0")
        roll_out(stack, "1.1.0")
        scene.enrollment = stack.cli_json("enroll-token", "--name", "spare", "--model", LINE)["token"]
        stack.cli("bundle", LINE, "1.1.0", "fp32", "--out", str(home / "1.1.0.bundle"))
    return scene


def _begin_trust(stack: Stack) -> None:
    keys = stack.home / "trust" / LINE
    stack.cli("trust", "init", LINE, "--create-model")
    publisher = ["--public-key", str(keys / "publisher.pub"), "--key", str(keys / "publisher.pem")]
    same = ["--root-key", str(keys / "root.pem"), *publisher]
    stack.cli("trust", "init", OTHER, "--create-model", *same)
    # A second root of the other line: what the owner of both has signed beyond the first.
    stack.cli("trust", "renew", OTHER, "--root", "--root-key", str(keys / "root.pem"))
    publish(stack, OTHER, "7.0.0", DemoModel("1.0.0", "fp32").file, "--key", str(keys / "publisher.pem"))


def _model_file(home: Path, version: str) -> Path:
    """The file of a version; each has a digest of its own."""
    base = DemoModel("1.1.0" if version in {"1.0.7", "1.1.0"} else "1.0.0", "fp32").file
    if version in {"1.0.0", "1.1.0"}:
        return base
    file = home / f"{version}.onnx"
    file.write_bytes(altered(base.read_bytes(), version))
    return file


def _publish(scene: Scene, version: str, *options: str) -> None:
    file = _model_file(scene.stack.home, version)
    publish(scene.stack, LINE, version, file, *options)
    scene.files[version], scene.models[version] = file, digest(file.read_bytes())


def publish(stack: Stack, model: str, version: str, file: Path, *options: str) -> None:
    """Publish a model as CI does. All but 1.1.0 have the golden outputs of 1.0.0."""
    samples = FOLDER / f"digits-{'1.1.0' if version == '1.1.0' else '1.0.0'}.samples.npz"
    names = ["--model", model, "--version", version, "--variant", "fp32", "--tolerance", "atol=0.001,rtol=0.001"]
    beside = ["--contract", str(_contract(stack.home, version)), "--samples", str(samples)]
    stack.cli("publish", str(file), *names, *beside, *options)


def _contract(home: Path, version: str) -> Path:
    """That of the demo; 1.1.0 has one that no device holds yet."""
    committed = FOLDER / "digits.contract.json"
    if version != "1.1.0":
        return committed
    file = home / "contract.json"
    file.write_bytes(committed.read_bytes() + b"\n")
    return file


def roll_out(stack: Stack, version: str) -> None:
    """Order a version to every device."""
    with stack.rest() as rest:
        rest.post("rollouts", {"model": LINE, "version": version, "variant": "fp32", "start": True})


def _install(scene: Scene, device: StackDevice, version: str) -> None:
    roll_out(scene.stack, version)
    _look(scene.stack, device)
    assert digest(device.current_model(LINE).read_bytes()) == scene.models[version]


def _look(stack: Stack, device: StackDevice) -> None:
    stack.cli("agent", "once", "--config", str(device.config))


def _keep(scene: Scene, device: StackDevice, name: str) -> None:
    shutil.copytree(device.state_dir, scene.stack.home / "kept" / name, symlinks=True)


@dataclass(slots=True)
class Play:
    """One attack on copies of the scene."""

    scene: Scene
    folder: Path
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        self.children = Children(self.folder / "logs", {})

    @property
    def models(self) -> dict[str, str]:
        """Digests of what the publisher signed at some time, by version."""
        return self.scene.models

    def device(self, seen: str = AFTER, *, policy: str = "") -> Device:
        """A device as it was at the theft; `seen` is whether it had heard of the withdrawal, `policy` what else its owner rules (TOML)."""
        folder = self.folder / f"device-{len(list(self.folder.iterdir()))}"
        shutil.copytree(self.scene.stack.home / "kept" / seen, folder / "state", symlinks=True)
        config = folder / "agent.toml"
        config.write_text(self.config_text(folder / "state") + policy)
        return Device(config, folder / "state", self.children)

    def config_text(self, state_dir: Path) -> str:
        """A configuration that points to the address of the server, whoever is there."""
        return (
            f'server = "{self.scene.stack.url}"\nstate_dir = "{state_dir}"\nname = "gate"\ndevice_class = "pi5"\n'
            f'models = {json.dumps([LINE])}\nruntime_dir = "{self.folder}"\n{OPTIONS}'
        )

    def new_device(self) -> Device:
        """A device that was never enrolled."""
        folder = self.folder / "new"
        folder.mkdir()
        config = folder / "agent.toml"
        config.write_text(self.config_text(folder / "state"))
        return Device(config, folder / "state", self.children)

    @contextmanager
    def attacker(self, scheme: str, **options: Any) -> Iterator[Attacker]:
        """The attacker at the server's address, as a process of its own."""
        log = self.folder / f"{scheme}-{time.monotonic_ns()}.jsonl"
        command = [sys.executable, "-m", "tests.attacks.attacker", str(self.scene.server_home), str(self.scene.port)]
        self.children.start("attacker", *command, str(log), scheme, json.dumps(options))
        try:
            self.children.wait_until("attacker", lambda: _answers(self.scene.port), timeout_s=20.0)
            yield Attacker(log)
        finally:
            self.children.end("attacker")

    @contextmanager
    def honest(self, *, new_online_keys: bool = False) -> Iterator[Stack]:
        """The real server back at its address, with its database, store and keys as they were at the theft, or with other online keys."""
        home = self.folder / "stack"
        if not home.exists():
            home.mkdir()
            for name in ("server", "trust"):
                shutil.copytree(self.scene.stack.home / name, home / name)
            shutil.copy(self.scene.stack.home / "secret-key", home)
        if new_online_keys:
            shutil.rmtree(home / "server" / "keys")
        stack = Stack(home, port=self.scene.port, worker=False)
        stack.admin = self.scene.stack.admin
        with stack:
            yield stack

    def daemon_status(self, device: Device) -> Any:
        """What `agent status --json` says of the device while its daemon rests after a poll."""
        run = smallfleet("agent", "run", "--config", str(device.config))
        told: list[Any] = [None]

        def rests() -> bool:
            told[0] = device.whole_status()
            return told[0]["polled"] is not None and told[0]["polled"]["at"] is not None

        self.children.start("daemon", *run)
        try:
            self.children.wait_until("daemon", rests, timeout_s=20.0)
        finally:
            self.children.end("daemon")
        return told[0]

    def thief(self) -> Thief:
        """What was stolen, for a test that has to know it."""
        return Thief(self.scene.server_home)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except ConnectionRefusedError:
        return False
    return True
