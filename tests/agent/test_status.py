"""What `status` says, beside an agent that runs and one that does not."""

import json
import signal
from typing import Any

from agent import pulse
from agent import status as agent_status
from agent.clock import Clock, Instant
from agent.pulse import Polled, Pulse
from tests.agent.device import PROCESS_TIMEOUT_S, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, sha256
from tests.agent.test_rules import NEVER, configure, running, wait_until

OLD, NEW = release(1), release(1, step=1e-4)


def status(device: Device) -> Any:
    ended = device.run("status", "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def here(device: Device) -> Any:
    """The same in this process."""
    return agent_status.status(device.config, device.layout, device.clock)


def test_everything_is_there_beside_a_running_agent(device: Device, server: StandIn) -> None:
    """A model in service, another one that waits for a rule, bytes, disk, and the last poll."""
    folder = device.root / "run"
    folder.mkdir()
    device.preinstall(OLD)
    rules = f"[policy]\nretry_failed_s = 0\n{NEVER}mb_per_day = 5\n"
    device.configure(rules, head=f'poll_interval_s = 0.2\nruntime_dir = "{folder}"')
    server.entries = [entry(server, NEW, version="1.1.0")]
    with running(device) as agent:
        wait_until("nothing is polled", lambda: len(server.requests("GET", "poll")) > 1)
        found = status(device)
        text = device.run("status").stdout
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PROCESS_TIMEOUT_S) == 0
    [one] = found["installations"]
    assert found["running"] is True
    assert (found["polled"]["result"], found["polled"]["detail"]) == ("answered", None)
    assert 0 <= found["polled"]["ago_s"] < PROCESS_TIMEOUT_S
    assert (one["current"], one["served"]) == (sha256(OLD.model), {"version": "0.9.0", "variant": "fp32"})
    assert (one["wanted"], one["pending"]["stage"], one["pending"]["way"]) == (sha256(NEW.model), "new", None)
    assert one["refused"]["rule"] == "metered-link"
    assert (found["today"]["most_bytes"], found["today"]["metered_bytes"]) == (5_000_000, None)
    assert found["disk"]["models_bytes"] >= len(OLD.model)
    assert found["disk"]["used_bytes"] > found["disk"]["models_bytes"]
    assert "refused  metered-link: download waits" in text
    assert "answered" in text
    assert status(device)["running"] is False
    assert "next in" in text
    assert "next in" not in device.run("status").stdout, "who ended polls no more"


def test_failure_says_when_it_is_tried_again(device: Device, server: StandIn) -> None:
    device.configure("[policy]\nretry_failed_s = 600\n")
    server.entries = [entry(server, OLD)]
    assert device.run("once", fault="enospc@append").returncode == 7
    [failure] = status(device)["installations"][0]["failures"]
    assert (failure["reason"], failure["permanent"]) == ("disk-full", False)
    assert 500 < failure["retry_in_s"] <= 600
    text = device.run("status").stdout
    assert "disk-full (1x), again in" in text
    assert f"in rollout {failure['rollout']}" in text


def test_failure_for_good_is_not_tried_again(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, release(2, golden_error=0.5))]
    device.cycle()
    [failure] = status(device)["installations"][0]["failures"]
    assert (failure["permanent"], failure["retry_in_s"]) == (True, None)
    assert ", for good" in device.run("status").stdout


def test_bytes_of_the_day_are_those_of_the_transfers(device: Device, server: StandIn) -> None:
    configure(device, "metered = true\nmetered_mb_per_day = 1\n")
    server.entries = [entry(server, OLD)]
    device.cycle()
    today = here(device)["today"]
    assert today["bytes"] == today["metered_bytes"] > len(OLD.model) + len(OLD.samples)
    assert today["bytes"] < 30_000
    assert today["most_metered_bytes"] == 1_000_000
    assert "kB, metered " in device.run("status").stdout


def test_pulse_of_another_boot_or_of_nobody_is_not_believed(device: Device) -> None:
    folder = device.root / "run"
    folder.mkdir()
    device.configure(head=f'runtime_dir = "{folder}"')
    path, now = pulse.path_of(device.config), Clock().now()
    polled = Polled(now, "2027-01-01T00:00:00Z", "server-unavailable", "no route")
    pulse.write(device.config, Pulse(polled, now, 60))
    found = here(device)["polled"]
    assert (found["result"], found["detail"]) == ("server-unavailable", "no route")
    assert 0 < found["next_in_s"] <= 60
    pulse.write(device.config, Pulse(polled, Instant("another boot", now.uptime_s), 60))
    assert here(device)["polled"] is None
    nobodys = b'{"polled": null, "rests_since": {"boot_id": "%b", "uptime_s": "x"}, "rests_for_s": 1}'
    wrong = (b'{"polled": 5, "rests_since": {}, "rests_for_s": 1}', nobodys % now.boot_id.encode())
    for content in (b"", b"{}", b"[]", *wrong):
        path.write_bytes(content)
        assert here(device)["polled"] is None


def test_without_a_runtime_folder_nothing_is_written(device: Device) -> None:
    device.configure(head=f'runtime_dir = "{device.root}/run"')
    pulse.write(device.config, Pulse(None, Clock().now(), 60))
    assert not device.config.runtime_dir.exists()
