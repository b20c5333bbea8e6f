"""A server that fails, drips, floods or lies, and a link that is cut anywhere: the real agent as a process of its own.

Each time: the old model stays, what went wrong is told once when the server can hear it, and the server is asked rarely.
"""

import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.clock import CLOCK_VARIABLE
from tests.agent.device import PROCESS_TIMEOUT_S, Device, SteadyClock, entry
from tests.agent.models import release
from tests.agent.standin import Handler, StandIn, stand_in
from tests.agent.test_transfer import endless, other_bytes, short_length, wrong_length, wrong_range
from tests.faults.conftest import CountCases
from tests.faults.link import CuttingLink
from tests.faults.test_agent_killed import ALL_POINTS

OLD, NEW = release(1), release(1, step=1e-4)
# Virtual seconds in each real one, for the daemon alone: an hour of a broken server is watched in three seconds.
PACE = 1200
# The usual pace of polls is one a minute; what fails comes on top of it ever more rarely: full jitter that doubles from 5 s.
MOST_REQUESTS_AN_HOUR = 120


def ask_for_new(device: Device, server: StandIn, tail: str = "") -> None:
    """A device with OLD that is asked to go to NEW."""
    device.configure(tail)
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0", with_samples=False)]


def another(stack: ExitStack, folder: Path, name: str) -> Device:
    """A device with a server of its own."""
    server = stack.enter_context(stand_in())
    made = Device(folder / name, server, SteadyClock())
    made.root.mkdir()
    made.configure()
    made.enroll()
    ask_for_new(made, server, "[policy]\n")
    return made


@dataclass(frozen=True, slots=True)
class Storm:
    """A server that answers everything below `path` with `status`."""

    path: str
    status: int

    @property
    def name(self) -> str:
        return f"{self.status} {self.path}"


STORMS = [Storm(path, status) for path in ("poll", "artifacts", "events") for status in (500, 429, 404)]


@contextmanager
def daemons(devices: list[Device]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The agents' daemons at the pace of the storm, ended by SIGTERM at the end of the block."""
    environment = {**os.environ, CLOCK_VARIABLE: f"pace@{PACE}"}
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(one.command("run"), env=environment, stderr=subprocess.DEVNULL))
            for one in devices
        ]
        try:
            yield running
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)


def wait_until(ready: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    while not ready():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


@pytest.mark.fault("500, 429, 404 storms")
def test_storm_of_errors_is_met_rarely_and_the_update_comes_through_after_it(
    tmp_path: Path, count_cases: CountCases
) -> None:
    count_cases(len(STORMS))
    with ExitStack() as stack:
        devices = {storm: another(stack, tmp_path, storm.name) for storm in STORMS}
        for storm, device in devices.items():
            device.server.problems[storm.path] = (storm.status, "storm")
            device.server.retry_after_s = 120 if storm.status == 429 else None
        with daemons(list(devices.values())) as running:
            wait_until(lambda: all(device.server.seen for device in devices.values()), "an agent does not poll")
            time.sleep(3600 / PACE)
            asked = {storm.name: len(device.server.seen) for storm, device in devices.items()}
            assert max(asked.values()) <= MOST_REQUESTS_AN_HOUR, asked
            assert all(process.poll() is None for process in running)
            for storm, device in devices.items():
                assert device.served() == (NEW.model if storm.path == "events" else OLD.model), storm
                device.server.problems.clear()
            assert_comes_through(devices)


def assert_comes_through(devices: dict[Storm, Device]) -> None:
    """After the storm everything is installed and told once; artifacts that were not there are told of as that."""
    for storm, device in devices.items():
        server = device.server
        if storm == Storm("artifacts", 404):
            wait_until(lambda kinds=server.kinds: "failed" in kinds(), f"after {storm} nothing was told")  # type: ignore[misc]
            assert {one["reason"] for one in server.details("failed")} == {"storm"}
            continue
        wait_until(lambda kinds=server.kinds: "activated" in kinds(), f"after {storm} nothing was told")  # type: ignore[misc]
        assert device.served() == NEW.model
        assert server.kinds().count("activated") == 1


def cut_points() -> Iterator[int]:
    """After how many bytes the link is cut: anywhere in the head of the poll, in the artifacts, in what is told at the end."""
    total = len(NEW.model) + 4000
    edges = [round(index * total / CUTS) for index in range(CUTS + 1)]
    for low, high in itertools.pairwise(edges):
        yield random.randint(low, high - 1)  # noqa: S311 - not for secrets; repeatable by the seed of the run


CUTS = 64 if ALL_POINTS else 4


@pytest.mark.fault("link cut at random bytes")
@pytest.mark.timeout(600)
def test_link_cut_at_any_byte_costs_a_repetition(device: Device, server: StandIn, count_cases: CountCases) -> None:
    count_cases(CUTS)
    for index, at in enumerate(cut_points()):
        victim = Device(device.root.parent / f"cut-{index}", server, device.clock)
        victim.root.mkdir()
        victim.enroll()
        for forgotten in (server.events, server.seen):
            forgotten.clear()
        ask_for_new(victim, server)
        with CuttingLink(server.port, at) as link:
            config = victim.config_file.read_text()
            victim.config_file.write_text(config.replace(server.url, f"http://127.0.0.1:{link.port}"))
            cut = victim.run("once")
            assert cut.returncode in (0, 6), f"cut at {at}: {cut.stderr}"
            assert victim.served() in (OLD.model, NEW.model)
            assert link.cuts or cut.returncode == 0
            victim.config_file.write_text(config)
        assert len(server.seen) <= MOST_REQUESTS_AN_UPDATE
        again = victim.run("once")
        assert again.returncode == 0, again.stderr
        assert victim.served() == NEW.model
        assert server.kinds().count("activated") == 1


# A poll, an artifact with its resumes, the delivery, a second poll.
MOST_REQUESTS_AN_UPDATE = 16


def drip(handler: Handler, content: bytes) -> None:
    """Slow loris: a byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    try:
        for byte in itertools.chain(content, itertools.repeat(0)):
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)
    except OSError:
        handler.close_connection = True


def drip_head(handler: Handler, _content: bytes) -> None:
    """The same with the head."""
    try:
        for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nX: ", itertools.repeat(ord("x"))):
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)
    except OSError:
        handler.close_connection = True


@pytest.mark.fault("slow-loris server")
@pytest.mark.parametrize("attack", [drip, drip_head])
def test_server_that_drips_is_left_when_the_time_of_the_request_is_up(
    device: Device, server: StandIn, attack: Callable[[Handler, bytes], None]
) -> None:
    ask_for_new(device, server, "[download]\ntimeout_s = 0.2\n")
    server.take_over_polls.append(attack)
    started = device.run("once")
    assert (started.returncode, device.served()) == (6, OLD.model)
    assert "too-slow" in started.stderr
    assert len(server.seen) == 1
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model


LIES = {
    "endless body": (endless, "wrong-length"),
    "wrong length": (wrong_length, "wrong-length"),
    "short length": (short_length, "wrong-length"),
    "wrong range": (wrong_range, "wrong-length"),
    "wrong digest": (other_bytes, "wrong-digest"),
}


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(
            name, marks=pytest.mark.fault(name.replace("short", "wrong").replace("wrong range", "wrong length"))
        )
        for name in LIES
    ],
)
def test_artifact_that_is_not_what_was_announced_is_refused_told_and_not_fetched_for_ever(
    device: Device, server: StandIn, lie: str
) -> None:
    answer, reason = LIES[lie]
    ask_for_new(device, server, "[policy]\n")
    server.misbehave.extend([answer] * 20)
    assert device.run("once").returncode == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"]) == ("download", reason)
    assert device.run("once").returncode == 0
    assert len(server.requests("GET", "artifacts/")) == 1, "the pause after a failure, or its being final, is kept"
    received = sum(one["bytes_received"] for one in server.details("transferred"))
    assert received < len(NEW.model) + 3 * (1 << 16)


@pytest.mark.fault("endless body")
def test_poll_answer_without_an_end_is_left_at_its_limit(device: Device, server: StandIn) -> None:
    ask_for_new(device, server)
    server.take_over_polls.append(endless)
    assert device.run("once").returncode == 8
    assert (device.served(), len(server.seen)) == (OLD.model, 1)
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model
