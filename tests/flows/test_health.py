"""A model that its publisher, the server and the shadow run find good, and the application on the device does not."""

import hashlib

from client.demo.models import LINE, DemoModel
from tests.flows.conftest import QUICK, Flow

GOOD, SICK = DemoModel("1.0.0", "fp32"), DemoModel("1.1.0", "fp32")


def digest(model: DemoModel) -> str:
    return hashlib.sha256(model.file.read_bytes()).hexdigest()


def test_device_steps_back_by_itself_and_the_rollout_counts_it(flow: Flow) -> None:
    hook = flow.home / "is-well"
    hook.write_text(
        f'#!/bin/sh\n[ "$SMALLFLEET_SHA256" != {digest(SICK)} ] || {{ echo the camera is dark; exit 1; }}\n'
    )
    hook.chmod(0o755)
    options = (
        f'{QUICK}[hooks]\nhealth_settle_s = 0\nhealth = ["{hook}"]\n[shadow]\nenabled = true\nmax_disagreement = 0.5\n'
    )
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=options)
    flow.publish(GOOD.version, GOOD.variant)
    flow.once(device)
    flow.finish(flow.roll_out(GOOD.version, GOOD.variant), device)
    flow.start_agent(device)
    flow.publish(SICK.version, SICK.variant)
    rollout_id = flow.roll_out(SICK.version, SICK.variant)
    flow.wait_for(lambda: bool(flow.rollout(rollout_id)["progress"]["rolled_back"] == 1))
    assert device.current_model(LINE).read_bytes() == GOOD.file.read_bytes()
    with flow.rest() as rest:
        [listed] = rest.pages("devices")
        [held] = rest.get(f"devices/{listed['id']}")["installations"]
    assert held["current"] == digest(GOOD)
