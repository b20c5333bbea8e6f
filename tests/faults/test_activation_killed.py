"""Power fails between the switch and the verdict on the new model: SIGKILL of the real process at every point of that story.

Whatever the moment, the next start brings the story to its end without the server, and the server hears it once, later.
By default a sample of the points runs, another one each time; with SMALLFLEET_TEST_ALL_POINTS=1 all of them do.
"""

import itertools
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, sha256
from tests.faults.conftest import CountCases
from tests.faults.test_agent_killed import ALL_POINTS

pytestmark = pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")

OLD, NEW = release(1), release(1, step=1e-4)
SAMPLED_POINTS = 4


def ask_for_new(device: Device, server: StandIn, *, health: str) -> None:
    """A device with OLD that is asked to go to NEW, with a health check and a hook that must not be forgotten."""
    commands = {"health": health, "post_activate": f"echo $SMALLFLEET_SHA256 >> {device.root}/told"}
    lines = [f"{name} = {json.dumps(['/bin/sh', '-c', script])}" for name, script in commands.items()]
    device.configure("\n".join(["[hooks]", "health_settle_s = 0", *lines]))
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0", with_samples=False)]


def fresh(device: Device, server: StandIn, name: str, *, health: str) -> Device:
    """Another device on the same server, which has forgotten what it saw."""
    made = Device(device.root.parent / name, server, device.clock)
    made.root.mkdir()
    made.enroll()
    server.problems.clear()
    server.events.clear()
    server.seen.clear()
    server.said = None
    ask_for_new(made, server, health=health)
    return made


def points_of_the_story(device: Device, tmp_path: Path) -> tuple[int, list[str]]:
    """How many points lie before the link is first replaced, and the names of all."""
    trace = tmp_path / "trace"
    ended = device.run("once", fault=f"trace@{trace}")
    assert ended.returncode in (0, 7), ended.stderr
    names = trace.read_text().splitlines()
    return names.index("symlink current"), names


def chosen(first: int, last: int) -> list[int]:
    """The points to fail at: all, or one of each part of the story.

    The very last few are left out: a download that comes in fewer pieces has fewer points before them.
    """
    end = last - 2
    if ALL_POINTS:
        return list(range(first, end))
    edges = [first + round(index * (end - first) / SAMPLED_POINTS) for index in range(SAMPLED_POINTS + 1)]
    return [random.randrange(low, high) for low, high in itertools.pairwise(edges)]  # noqa: S311 - not for secrets; repeatable by the seed of the run


def told(device: Device) -> list[str]:
    return (device.root / "told").read_text().splitlines()


def assert_numbered_without_gaps(server: StandIn) -> None:
    [attempt] = {attempt for attempt, _seq in server.events}
    assert sorted(seq for _attempt, seq in server.events) == list(range(len(server.events)))
    assert server.kinds(attempt).count("started") == 1


@pytest.mark.timeout(1200 if ALL_POINTS else 300)
@pytest.mark.parametrize("fault", ["kill@{}", "enospc@{}+", "erofs@{}"])
def test_bad_model_does_not_survive_a_failure_at_any_point_after_the_switch(
    device: Device, server: StandIn, tmp_path: Path, fault: str, count_cases: CountCases
) -> None:
    sick = f'[ "$SMALLFLEET_SHA256" != {sha256(NEW.model)} ]'
    ask_for_new(device, server, health=sick)
    switch, names = points_of_the_story(device, tmp_path)
    assert server.kinds()[-1] == "rolled_back"
    points = chosen(switch - 4, len(names))
    if not (fault.startswith("kill") or ALL_POINTS):
        points = [random.choice(points)]  # noqa: S311 - as above
    count_cases(len(points))
    for at in points:
        victim = fresh(device, server, f"failed-at-{at}-{fault[:2]}", health=sick)
        failed = victim.run("once", fault=fault.format(at))
        where = f"point {at} ({names[at - 1]})"
        assert "Traceback" not in failed.stderr
        assert (failed.returncode == -signal.SIGKILL) == fault.startswith("kill"), f"{where} was not reached"
        assert victim.served() in (OLD.model, NEW.model), where
        server.problems["poll"] = (503, "busy")
        victim.run("once")
        assert victim.served() == OLD.model, f"{where}: the start after it does not need the server"
        server.problems.clear()
        for _ in range(2):
            victim.run("once")
        assert victim.served() == OLD.model, where
        assert told(victim)[-1] == sha256(OLD.model) or told(victim) == [], where
        finals = [kind for kind in server.kinds() if kind in ("activated", "rolled_back", "failed")]
        assert finals.count("rolled_back") == 1, where
        assert finals.count("activated") == 0, where
        if finals == ["rolled_back"]:
            assert_numbered_without_gaps(server)
        assert {path.name for path in victim.layout.line(MODEL).slots.iterdir()} == {sha256(OLD.model)}, where
        assert victim.state()["pending"] is None


@pytest.mark.timeout(1200 if ALL_POINTS else 300)
def test_good_model_comes_through_a_kill_at_any_point_after_the_switch(
    device: Device, server: StandIn, tmp_path: Path, count_cases: CountCases
) -> None:
    ask_for_new(device, server, health="true")
    switch, names = points_of_the_story(device, tmp_path)
    points = chosen(switch + 3, len(names))[:: 1 if ALL_POINTS else 2]
    count_cases(len(points))
    for at in points:
        victim = fresh(device, server, f"killed-at-{at}", health="true")
        killed = victim.run("once", fault=f"kill@{at}")
        assert killed.returncode == -signal.SIGKILL, f"point {at} ({names[at - 1]}) was not reached"
        switched = victim.served() == NEW.model
        server.problems["poll"] = (503, "busy")
        victim.run("once")
        assert (victim.served() == NEW.model) == switched, "what was switched stays, what was not waits for the server"
        assert (victim.state()["pending"] is None) == switched, f"point {at} ({names[at - 1]})"
        server.problems.clear()
        victim.run("once")
        assert (victim.served(), victim.state()["previous"]) == (NEW.model, sha256(OLD.model))
        assert server.kinds()[-1] == "activated"
        assert server.kinds().count("activated") == 1
        assert_numbered_without_gaps(server)
        assert sha256(NEW.model) in told(victim)


def test_model_that_takes_the_device_down_is_not_kept(device: Device, server: StandIn) -> None:
    """The health check never comes to an end, since the device goes down in it: after three times, another model."""
    down = f'[ "$SMALLFLEET_SHA256" != {sha256(NEW.model)} ] || kill -9 $PPID'
    ask_for_new(device, server, health=down)
    for _boot in range(3):
        assert device.run("once").returncode == -signal.SIGKILL
        assert device.served() == NEW.model
        server.problems["poll"] = (503, "busy")
    device.run("once")
    assert device.served() == OLD.model
    server.problems.clear()
    device.run("once")
    assert server.details("rolled_back") == [
        {
            "to": sha256(OLD.model),
            "reason": "health-unfinished",
            "detail": "3 health checks never came to an end",
        }
    ]
    assert_numbered_without_gaps(server)
    server.seen.clear()
    device.run("once")
    assert (server.requests("GET", "artifacts/"), device.served()) == ([], OLD.model)


def test_stop_while_a_model_settles_is_no_verdict(device: Device, server: StandIn) -> None:
    """SIGTERM ends the agent cleanly in the middle of it; the next start asks again, and all is well."""
    ask_for_new(device, server, health="kill -TERM $PPID; sleep 60")
    assert device.run("once").returncode == 0
    assert device.served() == NEW.model
    assert device.state()["pending"]["stage"] == "observed"
    text = device.config_file.read_text()
    device.config_file.write_text(text.replace("kill -TERM $PPID; sleep 60", "true"))
    assert device.run("once").returncode == 0
    assert (device.served(), server.kinds()[-1]) == (NEW.model, "activated")


def test_shadow_run_that_takes_the_device_down_is_not_begun_for_ever(device: Device, server: StandIn) -> None:
    """Twice, then the candidate is refused and the model in service stays."""
    device.configure("[shadow]\nenabled = true\n")
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    for run in (1, 2):
        with subprocess.Popen(device.command("once"), stderr=subprocess.DEVNULL) as agent:
            deadline = time.monotonic() + 60
            while shadow_runs(device) < run:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            agent.kill()
    assert device.run("once").returncode == 7
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("shadow", "shadow-unfinished", True)
    assert device.served() == OLD.model


def shadow_runs(device: Device) -> int:
    pending = device.state()["pending"] if device.layout.state.exists() else None
    return 0 if pending is None else int(pending["shadow_runs"])
