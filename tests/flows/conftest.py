"""A whole Smallfleet of real processes for each flow: server, worker, agents, the command line."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.demo.models import LINE, DemoModel
from client.processes import free_port
from client.stack import Stack, StackDevice

# Quick polls and no benchmark unless the flow is about it.
QUICK = "poll_interval_s = 0.5\n[bench]\nenabled = false\n"


class Flow(Stack):
    """The stack with the verbs of the demo's models."""

    def publish(self, version: str, variant: str) -> dict[str, Any]:
        """Publish one of the committed models by the command line, the line's trust set up before."""
        self.trust(LINE)
        published: dict[str, Any] = self.cli_json("publish", *DemoModel(version, variant).publish_arguments())
        return published

    def roll_out(self, version: str, variant: str, **options: Any) -> str:
        """Create and start a rollout to every device; its id."""
        with self.rest() as rest:
            rollout = rest.post(
                "rollouts", {"model": LINE, "version": version, "variant": variant, "start": True, **options}
            )
        return str(rollout["id"])

    def rollout(self, rollout_id: str) -> dict[str, Any]:
        """The rollout as the API tells it."""
        with self.rest() as rest:
            found: dict[str, Any] = rest.get(f"rollouts/{rollout_id}")
        return found

    def once(self, device: StackDevice) -> None:
        """Let the device's agent poll once and do what is asked."""
        self.cli("agent", "once", "--config", str(device.config))

    def finish(self, rollout_id: str, *devices: StackDevice, timeout_s: float = 150.0) -> dict[str, Any]:
        """Let the devices poll until the rollout is finished."""
        deadline = time.monotonic() + timeout_s
        while (rollout := self.rollout(rollout_id))["state"] != "finished":
            assert time.monotonic() < deadline, rollout
            for device in devices:
                self.once(device)
        return rollout

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not become so in time"
            time.sleep(0.1)

    def patches_settled(self) -> bool:
        """Whether no patch of the model line is wanted or being built."""
        with self.rest() as rest:
            rows = list(rest.pages(f"models/{LINE}/deltas"))
        return bool(rows) and all(row["state"] not in {"wanted", "building"} for row in rows)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A migrated database with an admin, made once and copied by every flow."""
    stack = Stack(tmp_path_factory.mktemp("prepared"), port=free_port())
    stack.prepare()
    return stack


@pytest.fixture
def flow(prepared: Stack, tmp_path: Path) -> Iterator[Flow]:
    """A running stack with its own database, store and ports."""
    home = tmp_path / "stack"
    shutil.copytree(prepared.home, home)
    stack = Flow(home, port=free_port())
    stack.admin = prepared.admin
    with stack:
        yield stack
