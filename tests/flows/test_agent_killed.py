"""Killed with SIGKILL at any moment, an agent comes back with the old or the new model, and finishes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent.decide import MAX_SMOKE_RUNS
from client.demo.models import LINE, DemoModel
from client.processes import smallfleet
from client.stack import StackDevice
from tests.flows.conftest import QUICK, Flow

KILLS = 20


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_agent_killed_at_random_moments_holds_old_or_new_and_finishes(
    flow: Flow, request: pytest.FixtureRequest
) -> None:
    flow.publish("1.0.0", "fp32")
    flow.publish("1.1.0", "fp32")
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=QUICK)
    flow.once(device)
    flow.finish(flow.roll_out("1.0.0", "fp32"), device)
    flow.wait_for(flow.patches_settled)
    old, new = sha256(DemoModel("1.0.0", "fp32").file), sha256(DemoModel("1.1.0", "fp32").file)
    moments = random.Random(request.config.getoption("randomly_seed", default=0))  # noqa: S311

    kills = 0
    versions = ["1.1.0", "1.0.0"]
    while kills < KILLS:
        rollout_id = flow.roll_out(versions[0], "fp32")
        versions.reverse()
        for _ in range(4):
            kills += _killed(flow, device.config, moments.uniform(0.05, 2.0))
            assert sha256(device.current_model(LINE)) in {old, new}
            # A model whose smoke runs take the device down again and again is rightly given up.
            if _smoke_runs(device) + 1 >= MAX_SMOKE_RUNS:
                break
        rollout = flow.finish(rollout_id, device)
        assert rollout["progress"]["failed"] == 0, rollout
        assert sha256(device.current_model(LINE)) == (new if versions[1] == "1.1.0" else old)
    assert kills >= KILLS


def _smoke_runs(device: StackDevice) -> int:
    """How often the attempt under way has begun to run its model."""
    pending = json.loads((device.state_dir / "state.json").read_text())["lines"][LINE]["pending"]
    return 0 if pending is None else int(pending["smoke_runs"])


def _killed(flow: Flow, config: Path, after_s: float) -> int:
    """Start the daemon, kill it with its children after a while; 1 if it was alive until then."""
    with flow.children.log("killed").open("ab") as log:
        agent = subprocess.Popen(
            smallfleet("agent", "run", "--config", str(config)),
            env=flow.children.environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )
    time.sleep(after_s)
    alive = agent.poll() is None
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    return int(alive)
