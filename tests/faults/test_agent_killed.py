"""Power fails: SIGKILL of the real process at every point of `agent/disk.py`, and a disk that refuses at each of them.

By default a sample of the points runs, spread over the whole update and another one each time; with
SMALLFLEET_TEST_ALL_POINTS=1 all of them do.
"""

import itertools
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import Handler, StandIn, sha256
from tests.faults.conftest import CountCases

OLD, NEW = release(1), release(1, step=1e-4)
ALL_POINTS = bool(os.environ.get("SMALLFLEET_TEST_ALL_POINTS"))
SAMPLED_POINTS = 6
# By how many pieces the same download may differ from one time to the next.
PIECES = 3


def ask_for_new(device: Device, server: StandIn) -> None:
    """A device with OLD that is asked to go to NEW, with a hook that must not be forgotten."""
    device.configure(f'[hooks]\npost_activate = ["/bin/sh", "-c", "echo $SMALLFLEET_SHA256 >> {device.root}/told"]\n')
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0", with_samples=False)]


def points_of_an_update(device: Device, server: StandIn, tmp_path: Path) -> list[str]:
    """The names of all points, in order, of one undisturbed update in one process."""
    trace = tmp_path / "trace"
    ended = device.run("once", fault=f"trace@{trace}")
    assert ended.returncode == 0, ended.stderr
    assert device.served() == NEW.model
    return trace.read_text().splitlines()


def chosen(count: int) -> list[int]:
    """The points to fail at: all, or some from each part of the update and the last.

    The very last few are left out: a download that comes in fewer pieces has fewer points before them.
    """
    count -= PIECES
    if ALL_POINTS:
        return list(range(1, count + 1))
    edges = [round(index * count / SAMPLED_POINTS) for index in range(SAMPLED_POINTS + 1)]
    sampled = {random.randint(low + 1, high) for low, high in itertools.pairwise(edges)}  # noqa: S311 - not for secrets; repeatable by the seed of the run
    return sorted(sampled | {count})


def fresh(device: Device, server: StandIn, name: str) -> Device:
    """Another device on the same server, which has forgotten what it saw."""
    made = Device(device.root.parent / name, server, device.clock)
    made.root.mkdir()
    made.configure()
    made.enroll()
    server.events.clear()
    server.seen.clear()
    server.said = None
    ask_for_new(made, server)
    return made


def assert_told_once(server: StandIn) -> None:
    """One attempt, numbered without gaps, ended once, and its bytes counted."""
    [attempt] = {attempt for attempt, _seq in server.events}
    assert sorted(seq for _attempt, seq in server.events) == list(range(len(server.events)))
    kinds = server.kinds(attempt)
    assert kinds.count("started") == kinds.count("applied") == kinds.count("activated") == 1
    assert kinds[-1] == "activated"
    raw = sum(one["bytes_received"] for one in server.details("transferred") if one["way"] == "raw")
    assert raw >= len(NEW.model), "every byte of the model was told of, those of a killed process too"


@pytest.mark.timeout(1200 if ALL_POINTS else 300)
@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_agent_killed_at_any_point_has_the_old_or_the_new_model_and_finishes(
    device: Device, server: StandIn, tmp_path: Path, count_cases: CountCases
) -> None:
    ask_for_new(device, server)
    names = points_of_an_update(device, server, tmp_path)
    points = chosen(len(names))
    count_cases(len(points), points=len(names))
    for at in points:
        victim = fresh(device, server, f"killed-at-{at}")
        killed = victim.run("once", fault=f"kill@{at}")
        assert killed.returncode == -signal.SIGKILL, f"point {at} ({names[at - 1]}) was not reached"
        assert victim.served() in (OLD.model, NEW.model), f"killed at {at} ({names[at - 1]})"
        again = victim.run("once")
        assert again.returncode == 0, f"after {at} ({names[at - 1]}): {again.stderr}"
        assert victim.served() == NEW.model
        assert victim.state()["previous"] == sha256(OLD.model)
        assert (victim.root / "told").read_text().splitlines()[-1] == sha256(NEW.model)
        assert_told_once(server)
        assert_tidy(victim)


def assert_tidy(device: Device) -> None:
    """Nothing is left over."""
    line = device.layout.line(MODEL)
    assert {path.name for path in line.slots.iterdir()} == {sha256(OLD.model), sha256(NEW.model)}
    assert {path.name for path in line.root.iterdir()} == {"slots", "current"}
    assert list(device.layout.downloads.iterdir()) == []
    assert list(device.layout.outbox.iterdir()) == []


@pytest.mark.timeout(300)
@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_agent_killed_again_and_again_comes_through(device: Device, server: StandIn) -> None:
    ask_for_new(device, server)
    for _life in range(40):
        at = random.randint(12, 40)  # noqa: S311 - not for secrets; repeatable by the seed of the run
        ended = device.run("once", fault=f"kill@{at}")
        assert device.served() in (OLD.model, NEW.model)
        if ended.returncode == 0:
            break
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model
    assert_told_once(server)


@pytest.mark.timeout(1200 if ALL_POINTS else 300)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("enospc", marks=pytest.mark.fault("disk full at each write")),
        pytest.param("erofs", marks=pytest.mark.fault("read-only disk")),
    ],
)
def test_disk_that_refuses_at_any_point_keeps_a_model_and_the_update_comes_through_later(
    device: Device, server: StandIn, tmp_path: Path, kind: str, count_cases: CountCases
) -> None:
    """Once for one moment, once for the rest of the process."""
    ask_for_new(device, server)
    count = len(points_of_an_update(device, server, tmp_path))
    cases = list(itertools.product(chosen(count)[:: 1 if ALL_POINTS else 3], ("", "+")))
    count_cases(len(cases), points=count)
    for at, onwards in cases:
        victim = fresh(device, server, f"full-at-{at}{onwards}")
        refused = victim.run("once", fault=f"{kind}@{at}{onwards}")
        assert refused.returncode in (0, 7, 9), refused.stderr
        assert "Traceback" not in refused.stderr
        assert victim.served() in (OLD.model, NEW.model)
        again = victim.run("once")
        assert again.returncode == 0, f"after {at}{onwards}: {again.stderr}"
        assert victim.served() == NEW.model
        assert server.kinds().count("activated") == 1


@pytest.mark.fault("disk full at each write")
def test_full_disk_is_told_as_the_reason(device: Device, server: StandIn) -> None:
    ask_for_new(device, server)
    assert device.run("once", fault="enospc@append").returncode == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("download", "disk-full", False)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\0" * 4096, b"[]", b'{"schema": "smallfleet-agent-state/1"}', b'{"schema": 9}']
)
@pytest.mark.fault("corrupted state file")
def test_damaged_state_is_set_aside_and_the_running_model_stays(
    device: Device, server: StandIn, content: bytes
) -> None:
    device.preinstall(OLD)
    device.layout.state.write_bytes(content)
    server.entries = [entry(server, OLD)]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert server.said is not None
    assert server.said["installations"][0]["current"] == sha256(OLD.model)
    assert (device.layout.root / "state.json.damaged").read_bytes() == content
    assert server.requests("GET", "artifacts/") == []


@pytest.mark.fault("corrupted state file")
def test_state_cut_at_any_byte_is_survived(device: Device, server: StandIn) -> None:
    """What a file system without atomic renames could leave."""
    ask_for_new(device, server)
    server.problems["artifacts"] = (503, "busy")
    device.cycle()
    whole = device.layout.state.read_bytes()
    for length in random.sample(range(len(whole)), 12):
        device.layout.state.write_bytes(whole[:length])
        server.problems["poll"] = (503, "busy")
        assert device.cycle().exit_code == 6
        assert device.served() == OLD.model
    server.problems.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model


@pytest.mark.parametrize("destination", ["slots/../../x", "/etc", "slots/" + "f" * 64, "slots"])
@pytest.mark.fault("corrupted slot")
def test_link_that_points_nowhere_of_ours_counts_as_no_model(device: Device, server: StandIn, destination: str) -> None:
    device.layout.prepare((MODEL,))
    device.layout.line(MODEL).current.symlink_to(destination)
    server.entries = [entry(server, OLD, with_samples=False)]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model


@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_kill_in_a_transfer_goes_on_where_it_was_and_counts_every_byte(device: Device, server: StandIn) -> None:
    ask_for_new(device, server)
    victim = fresh(device, server, "cut-and-killed")
    server.misbehave.append(lambda handler, content: handler.send_range(content, most=4000))
    before_the_sync = f"kill@fsync {sha256(NEW.model)}.part"
    assert victim.run("once", fault=before_the_sync).returncode == -signal.SIGKILL
    assert victim.layout.received_bytes(sha256(NEW.model)) == 4000
    server.seen.clear()
    assert victim.run("once").returncode == 0
    assert [seen.headers.get("range") for seen in server.requests("GET", "artifacts/")] == ["bytes=4000-"]
    assert_told_once(server)


@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_kill_on_a_slow_link_loses_no_byte_that_came(device: Device, server: StandIn) -> None:
    """The link is silent after a few packets; what they brought is on disk while the agent still waits for more."""
    ask_for_new(device, server)
    part, hang_up = device.layout.part(sha256(NEW.model)), threading.Event()

    def stall(handler: Handler, content: bytes) -> None:
        handler.send_range(content, most=3000)
        hang_up.wait(60)

    server.misbehave.append(stall)
    with subprocess.Popen(device.command("once"), stderr=subprocess.DEVNULL) as agent:
        deadline = time.monotonic() + 10
        while not (part.exists() and part.stat().st_size == 3000):
            assert time.monotonic() < deadline, "what came waits in the agent's memory"
            time.sleep(0.05)
        agent.kill()
    hang_up.set()
    server.seen.clear()
    assert device.run("once").returncode == 0
    assert [seen.headers.get("range") for seen in server.requests("GET", "artifacts/")] == ["bytes=3000-"]
    assert_told_once(server)


@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_benchmark_that_never_ends_is_given_up_and_the_activation_stands(device: Device, server: StandIn) -> None:
    """The device goes down in the benchmark, again and again: it is measured twice, then no more."""
    device.configure('[bench]\nenabled = true\ntier = "normal"\n')
    server.entries = [entry(server, NEW, version="1.1.0", with_samples=False)]
    for run in (1, 2):
        with subprocess.Popen(device.command("once"), stderr=subprocess.DEVNULL) as agent:
            deadline = time.monotonic() + 60
            while runs_of_the_benchmark(device) < run:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            agent.kill()
    assert device.run("once").returncode == 0
    assert device.state()["benchmark"] is None
    assert (device.served(), server.reports) == (NEW.model, {})
    assert server.kinds().count("activated") == 1


def runs_of_the_benchmark(device: Device) -> int:
    due = device.state()["benchmark"] if device.layout.state.exists() else None
    return 0 if due is None else int(due["runs"])
