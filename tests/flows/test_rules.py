"""A device's own rules, from the device to the operator's page and back: what waits is seen, and goes on by itself."""

from typing import Any

from client.demo.models import LINE
from tests.flows.conftest import QUICK, Flow


def installation(flow: Flow) -> Any:
    """The one installation of the one device, as the API tells it."""
    with flow.rest() as rest:
        [listed] = rest.pages("devices")
        device = rest.get(f"devices/{listed['id']}")
    [found] = [one for one in device["installations"] if one["model"] == LINE]
    return found


def test_device_that_is_busy_is_seen_to_wait_and_finishes_when_it_is_not(flow: Flow) -> None:
    flag, hook = flow.home / "busy", flow.home / "may-work"
    hook.write_text(f'#!/bin/sh\ntest ! -e "{flag}" || exit 75\n')
    hook.chmod(0o755)
    flag.touch()
    flow.publish("1.0.0", "fp32")
    options = f'{QUICK}[policy]\nbusy_hook = ["{hook}"]\n'
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=options)
    flow.once(device)
    rollout_id = flow.roll_out("1.0.0", "fp32")

    def is_seen_to_wait() -> bool:
        flow.once(device)
        return installation(flow)["refused"] is not None

    flow.wait_for(is_seen_to_wait)
    refused = installation(flow)["refused"]
    assert (refused["rule"], refused["detail"]) == ("busy", "apply waits: the busy hook says so (exit 75)")
    [waiting] = flow.rollout(rollout_id)["waiting_for"]
    assert (waiting["rule"], waiting["devices"]) == ("busy", 1)
    flag.unlink()
    finished = flow.finish(rollout_id, device)
    assert finished["waiting_for"] == []
    assert installation(flow)["refused"] is None
