"""A device for tests: a configuration, a state directory, and the agent in this process or in one of its own."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import config as configuration
from agent import disk, identity, slots
from agent.clock import Clock, Instant
from agent.config import Config
from agent.layout import Layout
from agent.loop import Agent, Outcome
from agent.outbox import Outbox
from agent.store import Store
from agent.trust import pins
from agent.wire import Blob, Offer, Target, Tolerances, Way
from tests.agent.models import Release
from tests.agent.repository import signed_target
from tests.agent.standin import CREDENTIAL, ENROLLMENT_TOKEN, StandIn, sha256

MODEL = "digits"
PROCESS_TIMEOUT_S = 60


class SteadyClock(Clock):
    """The machine's clock, moved on by hand, with the middle of every random interval."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now(self) -> Instant:
        now = super().now()
        return replace(now, uptime_s=now.uptime_s + self.ahead_s)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


@dataclass(slots=True)
class Device:
    """One device below `root`, enrolled with `server`."""

    root: Path
    server: StandIn
    clock: SteadyClock

    @property
    def config_file(self) -> Path:
        return self.root / "agent.toml"

    @property
    def layout(self) -> Layout:
        return Layout(self.root / "state")

    @property
    def config(self) -> Config:
        return configuration.load(self.config_file, {})

    def configure(self, tail: str = "", *, models: tuple[str, ...] = (MODEL,), head: str = "") -> None:
        """Write agent.toml: `head` holds further top-level keys, `tail` tables."""
        bench = "" if "[bench]" in tail else "[bench]\nenabled = false\n"
        policy = "" if "[policy]" in tail else "[policy]\nretry_failed_s = 0\n"
        self.config_file.write_text(
            f'server = "{self.server.url}"\nstate_dir = "{self.layout.root}"\nname = "gate-7"\ndevice_class = "pi5"\n'
            f"models = {json.dumps(models)}\n{head}\n{bench}{policy}{tail}"
        )
        if self.layout.identity.exists():
            self.pin(*models)

    def enroll(self) -> None:
        disk.make_directories(self.layout.root)
        document = {"server": self.server.url, "device_id": str(uuid.uuid4()), "credential": CREDENTIAL}
        disk.replace_file(self.layout.identity, json.dumps(document).encode(), mode=0o600)
        self.pin(*(self.config.models if self.config_file.exists() else (MODEL,)))

    @property
    def token(self) -> str:
        """What a person types in: the token with the pins of all configured lines."""
        return pins.compose(ENROLLMENT_TOKEN, self._pins(*self.config.models))

    def _pins(self, *models: str) -> dict[str, str]:
        return {model: sha256(self.server.line(model).roots[0].encode()) for model in models}

    def pin(self, *models: str) -> None:
        """Know the digest of each line's first root, as from an enrollment token."""
        document = json.loads(self.layout.identity.read_bytes())
        document["pins"] = self._pins(*models)
        disk.replace_file(self.layout.identity, json.dumps(document).encode(), mode=0o600)

    def preinstall(self, release: Release, *, version: str = "0.9.0", model: str = MODEL) -> None:
        """Put a release in place as an update would have, without the run of its children."""
        layout, config = self.layout, self.config
        layout.prepare(config.models)
        contract, samples = (Blob(sha256(part), len(part)) for part in (release.contract, release.samples))
        digest = sha256(release.model)
        target = Target(version, "fp32", digest, len(release.model), contract, samples, Tolerances())
        disk.replace_file(layout.downloaded(digest), release.model)
        disk.replace_file(layout.sample_set(samples.sha256), release.samples)
        offer = Offer(Way.RAW, digest, len(release.model))
        slots.build(layout, model, target, offer, base=None, contract=release.contract, limits=config.children)
        layout.line(model).switch_current(digest)

    @contextmanager
    def agent(self) -> Iterator[Agent]:
        """The agent in this process."""
        config = self.config
        outbox = Outbox(self.layout.outbox)
        known = identity.read(self.layout)
        client = identity.make_client(config, credential=known.credential)
        with Store(self.layout, config.models, outbox) as store:
            yield Agent(
                config, self.layout, store, outbox, client, self.clock, identity.Credential(self.layout, client, known)
            )

    def cycle(self) -> Outcome:
        """One cycle of a fresh agent in this process."""
        with self.agent() as agent:
            return agent.cycle()

    def command(self, *arguments: str) -> list[str]:
        action, *rest = arguments
        return [sys.executable, "-m", "agent", action, "--config", str(self.config_file), *rest]

    def run(self, *arguments: str, fault: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """One command in a process of its own."""
        return subprocess.run(
            self.command(*arguments),
            env={**os.environ, disk.FAULT_VARIABLE: fault, **variables},
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_S,
            check=False,
        )

    def current(self, model: str = MODEL) -> str | None:
        return self.layout.line(model).read_current()

    def served(self, model: str = MODEL) -> bytes:
        """What serving code reads."""
        return (self.layout.line(model).current / "model.onnx").read_bytes()

    def state(self, model: str = MODEL) -> Any:
        return json.loads(self.layout.state.read_bytes())["lines"][model]


def entry(
    server: StandIn,
    release: Release,
    *,
    model: str = MODEL,
    version: str = "1.0.0",
    rollout: str | None = None,
    with_samples: bool = True,
    patches: tuple[dict[str, Any], ...] = (),
    **policy: Any,
) -> dict[str, Any]:
    """Put a release on the server, signed by its publisher; the entry of a poll answer that asks for it."""
    target = {
        "version": version,
        "variant": "fp32",
        **server.add(release.model),
        "contract": server.add(release.contract),
        "sample_set": server.add(release.samples) if with_samples else None,
        "tolerances": {"atol": 1e-3, "rtol": 1e-3, "min_agreement": None},
    }
    server.line(model).publish(signed_target(model, target))
    raw = {"way": "raw", "sha256": target["sha256"], "size_bytes": target["size_bytes"]}
    return {
        "model": model,
        "action": "install",
        "rollout": rollout or str(uuid.uuid5(uuid.NAMESPACE_URL, version)),
        "target": target,
        "ways": [*patches, raw],
        "policy": {"delta_pending": False, "wait_for_delta_s": 600, **policy},
    }
