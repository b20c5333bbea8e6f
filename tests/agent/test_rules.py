"""What the owner's rules do to an agent: it waits, says for which rule, and goes on by itself when it may."""

import functools
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import disk
from agent.download import download
from agent.errors import TransferRejected
from agent.http import Client
from agent.policy import LOOK_AGAIN_S, SLICE_BYTES
from agent.wire import Blob
from tests.agent.device import MODEL, PROCESS_TIMEOUT_S, Device, entry
from tests.agent.models import release
from tests.agent.standin import CREDENTIAL, Handler, Seen, StandIn, sha256
from tests.agent.test_commands import bundle_of

OLD, NEW = release(1), release(1, step=1e-4)
BIG = random.Random(3).randbytes(250_000)  # noqa: S311 - not for secrets
ALL_DAY = 'quiet_hours = ["00:00-12:00", "12:00-00:00"]\n'
NEVER = 'metered = true\nmetered_downloads = "never"\n'


def configure(device: Device, rules: str, tail: str = "") -> None:
    device.configure(f"[policy]\nretry_failed_s = 0\n{rules}{tail}")


def refused(server: StandIn) -> Any:
    """What the device last said that it waits for."""
    assert server.said is not None
    return server.said["installations"][0].get("refused")


def test_refused_download_is_told_once_and_costs_nothing(device: Device, server: StandIn) -> None:
    configure(device, NEVER)
    server.entries = [entry(server, OLD)]
    assert device.cycle().exit_code == 0
    assert [seen.method for seen in server.seen] == ["POST", "POST"], "said, and said what it waits for"
    assert refused(server) == {
        "rule": "metered-link",
        "detail": 'download waits: the link is metered and metered_downloads is "never"',
    }
    assert (device.current(), server.events) == (None, {})
    server.seen.clear()
    for _cycle in range(3):
        device.cycle()
    assert [seen.method for seen in server.seen] == ["GET"] * 3, "nothing new is to be said"
    configure(device, "metered = false\n")
    device.cycle()
    assert device.served() == OLD.model
    assert refused(server) is None


def test_first_attempt_at_another_target_takes_the_old_refusal_back(device: Device, server: StandIn) -> None:
    configure(device, NEVER)
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert refused(server)["rule"] == "metered-link"
    server.entries = [entry(server, OLD)]
    device.cycle()
    assert refused(server) is None


def test_step_back_to_previous_is_no_matter_of_the_link(device: Device, server: StandIn) -> None:
    first = entry(server, OLD)
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert device.served() == NEW.model
    configure(device, NEVER + "mb_per_day = 0.1\nfree_disk_mb = 1e9\nbattery_percent = 100\n")
    server.entries = [{**first, "rollout": None}]
    device.cycle()
    assert device.served() == OLD.model
    assert refused(server) is None


def test_quiet_hours_prepare_everything_and_hold_the_switch(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    configure(device, ALL_DAY)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert device.served() == OLD.model
    assert server.kinds()[-1] == "smoke_passed"
    assert refused(server)["rule"] == "quiet-hours"
    configure(device, "")
    server.seen.clear()
    device.cycle()
    assert device.served() == NEW.model
    assert server.requests("GET", "artifacts/") == []
    assert refused(server) is None


def test_quiet_hours_mean_nothing_under_a_clock_that_was_never_set(device: Device, server: StandIn) -> None:
    local = device.clock.local
    device.clock.local = lambda: local().replace(year=1970)  # type: ignore[method-assign]
    configure(device, ALL_DAY + 'metered = true\nmetered_downloads = "night"\n')
    server.entries = [entry(server, OLD)]
    device.cycle()
    assert device.served() == OLD.model


def at(device: Device, moment: datetime) -> None:
    device.clock.local = lambda: moment  # type: ignore[method-assign]


def test_download_over_a_metered_link_begins_with_the_night(device: Device, server: StandIn) -> None:
    configure(device, 'metered = true\nmetered_downloads = "night"\nnight = "22:00-06:00"\n')
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 3600
    evening = device.clock.local().replace(year=2030, hour=21, minute=50, second=0)
    with device.agent() as agent:
        at(device, evening)
        outcome = agent.cycle()
        assert outcome.delay_s == pytest.approx(600, abs=2), "when the night begins, not when the next poll is due"
        assert refused(server)["rule"] == "metered-night"
        server.seen.clear()
        device.clock.ahead_s += outcome.delay_s
        at(device, evening + timedelta(seconds=outcome.delay_s + 1))
        assert agent.cycle().delay_s > 3000
    assert device.served() == OLD.model


def busy_hook(device: Device) -> tuple[str, Path]:
    """The rule of a hook that says "not now" as long as a file is there, and the file."""
    flag, script = device.root / "busy", device.root / "may-work"
    script.write_text(f'#!/bin/sh\necho asked >> "{device.root}/asked"\ntest ! -e "{flag}" || exit 75\n')
    script.chmod(0o755)
    flag.touch()
    return f'busy_hook = ["{script}"]\n', flag


def test_rule_is_asked_again_between_two_polls_and_costs_no_byte(device: Device, server: StandIn) -> None:
    rule, flag = busy_hook(device)
    configure(device, rule)
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 3600
    with device.agent() as agent:
        assert agent.cycle().delay_s == LOOK_AGAIN_S
        assert refused(server) == {"rule": "busy", "detail": "apply waits: the busy hook says so (exit 75)"}
        server.seen.clear()
        for _look in range(3):
            device.clock.ahead_s += LOOK_AGAIN_S
            assert agent.cycle().delay_s == LOOK_AGAIN_S
        assert server.seen == [], "looking is free"
        flag.unlink()
        device.clock.ahead_s += LOOK_AGAIN_S
        assert agent.cycle().delay_s == 3600
    assert device.served() == OLD.model


def test_rule_that_is_asked_again_says_anew_when_to_ask(device: Device, server: StandIn) -> None:
    configure(device, ALL_DAY)
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 3600
    noon = device.clock.local().replace(year=2030, hour=12, minute=0, second=0)
    at(device, noon - timedelta(seconds=7))
    with device.agent() as agent:
        assert agent.cycle().delay_s == 7
        at(device, noon)
        device.clock.ahead_s += 7
        assert agent.cycle().delay_s == 900


def test_hook_that_changes_its_mind_costs_one_poll_a_minute(device: Device, server: StandIn) -> None:
    """It allows when it is asked between polls, and refuses when it comes to the step."""
    whim, script = device.root / "whim", device.root / "may-work"
    script.write_text(f'#!/bin/sh\nrm "{whim}" 2>/dev/null || exit 75\n')
    script.chmod(0o755)
    configure(device, f'busy_hook = ["{script}"]\n')
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 3600
    with device.agent() as agent:
        agent.cycle()
        for _minute in range(5):
            server.seen.clear()
            whim.touch()
            device.clock.ahead_s += LOOK_AGAIN_S
            assert agent.cycle().delay_s == LOOK_AGAIN_S
            assert [seen.method for seen in server.seen] == ["GET"]
    assert device.current() is None


def test_hook_is_not_run_when_nothing_is_to_be_done(device: Device, server: StandIn) -> None:
    rule, _flag = busy_hook(device)
    configure(device, rule)
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    device.cycle()
    assert not (device.root / "asked").exists()


def wait_until(what: str, reached: Any) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def running(device: Device) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon in a process of its own, gone at the end whatever happens; it logs to a file."""
    with (device.root / "log").open("w") as log, subprocess.Popen(device.command("run"), stderr=log) as agent:
        try:
            yield agent
        finally:
            agent.kill()


def test_real_agent_waits_for_a_busy_device_says_so_and_goes_on(device: Device, server: StandIn) -> None:
    """Processes of their own, from "not now" over `status` and the server's view to the new model in service."""
    rule, flag = busy_hook(device)
    device.configure(f"[policy]\nretry_failed_s = 0\n{rule}", head="poll_interval_s = 0.2")
    server.entries = [entry(server, OLD)]
    with running(device) as agent:
        wait_until("no refusal is told", lambda: server.said and refused(server))
        found = json.loads(device.run("status", "--json").stdout)["installations"][0]
        assert (found["refused"]["rule"], found["pending"]["stage"]) == ("busy", "fetched")
        said = len(server.requests("POST", "poll"))
        polls = len(server.requests("GET", "poll"))
        wait_until("no more polls", lambda: len(server.requests("GET", "poll")) > polls + 2)
        assert len(server.requests("POST", "poll")) == said, "a rule that goes on refusing is no news"
        flag.unlink()
        wait_until("the model is not activated", lambda: "activated" in server.kinds())
        wait_until("the refusal is not taken back", lambda: refused(server) is None)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PROCESS_TIMEOUT_S) == 0
    lines = [json.loads(line) for line in (device.root / "log").read_text().splitlines()]
    assert [line["rule"] for line in lines if line["event"] == "refused"] == ["busy"]
    assert device.served() == OLD.model


def big(server: StandIn) -> dict[str, Any]:
    """An entry whose artifact is larger than a day's budget; what is in it does not matter here."""
    return entry(server, replace(OLD, model=BIG), with_samples=False)


def test_download_larger_than_a_days_budget_goes_on_the_next_day(device: Device, server: StandIn) -> None:
    configure(device, "mb_per_day = 0.1\n")
    server.entries = [big(server)]
    today = device.clock.local().replace(year=2030)
    sizes, spent = [], []
    for day in range(3):
        at(device, today + timedelta(days=day))
        for _again in range(2):
            device.cycle()
        sizes.append(device.layout.received_bytes(sha256(BIG)))
        spent.append(json.loads(device.layout.day.read_bytes())["spent"]["any_bytes"])
        if day < 2:
            assert refused(server) == {"rule": "day-budget", "detail": "download waits: 0.1 MB of today are spent"}
            assert server.kinds()[-1] == "transferred"
    assert 90_000 < sizes[0] < 100_000
    assert 180_000 < sizes[1] < 200_000
    assert server.kinds()[-1] == "failed", "the third day brings the rest, and it is no model"
    assert all(bytes_ < 101_000 for bytes_ in spent[:2]), "polls, heads and events are in it"
    raw = [seen for seen in server.requests("GET", "artifacts/") if sha256(BIG) in seen.path]
    assert sum(map(asked_bytes, raw)) == len(BIG), "each byte is asked for once"


def test_download_stops_when_the_night_ends_and_keeps_what_came(device: Device, server: StandIn) -> None:
    huge = BIG * 10
    server.entries = [entry(server, replace(OLD, model=huge), with_samples=False)]
    configure(device, 'metered = true\nmetered_downloads = "night"\nnight = "22:00-06:00"\n')
    night = device.clock.local().replace(year=2030, hour=5, minute=59, second=0)
    at(device, night)

    def end_of_night(handler: Handler, content: bytes) -> None:
        at(device, night + timedelta(minutes=1))
        handler.send_range(content)

    server.misbehave.extend([lambda handler, content: handler.send_range(content), end_of_night])
    assert device.cycle().exit_code == 0
    assert device.layout.received_bytes(sha256(huge)) == SLICE_BYTES
    assert refused(server)["rule"] == "metered-night"
    assert [one["complete"] for one in server.details("transferred")] == [True, False]


@pytest.mark.parametrize("_again", range(5))
def test_transfer_in_granted_pieces_that_are_cut_anywhere_arrives_whole(
    device: Device, server: StandIn, _again: int
) -> None:
    server.add(BIG)
    device.layout.prepare((MODEL,))
    client = Client(server.url, CREDENTIAL, timeout_s=5)
    granted: list[int] = []

    def grant(wanted_bytes: int) -> int:
        granted.append(min(wanted_bytes, random.randint(1, 90_000)))  # noqa: S311 - repeatable by the seed of the run
        return granted[-1]

    cuts = [random.randrange(1, 30_000) for _ in range(4)]  # noqa: S311
    server.misbehave.extend(functools.partial(Handler.send_range, most=cut) for cut in cuts)
    download(client, device.layout, Blob(sha256(BIG), len(BIG)), attempt="a", grant=grant)
    client.close()
    assert device.layout.downloaded(sha256(BIG)).read_bytes() == BIG
    assert [asked_bytes(seen) for seen in server.seen] == granted, "never more than granted, and nothing twice"


@pytest.mark.parametrize(
    "content_range", [f"bytes 0-999/{len(BIG)}", f"bytes 1-1000/{len(BIG)}", f"bytes 0-{len(BIG) - 1}/{len(BIG)}", ""]
)
def test_answer_with_another_range_than_the_granted_one_is_refused(
    device: Device, server: StandIn, content_range: str
) -> None:
    server.add(BIG)
    device.layout.prepare((MODEL,))
    client = Client(server.url, CREDENTIAL, timeout_s=5)
    server.misbehave.append(lambda handler, content: handler.answer(206, content[:2000], Content_Range=content_range))
    with pytest.raises(TransferRejected, match="Content-Range"):
        download(client, device.layout, Blob(sha256(BIG), len(BIG)), attempt="a", grant=lambda _wanted: 2000)
    assert not device.layout.part(sha256(BIG)).exists()


@pytest.mark.parametrize("point", ["open", "append", "fsync"])
def test_budget_is_not_forgotten_by_a_killed_agent(device: Device, server: StandIn, point: str) -> None:
    """SIGKILL before, in and after the transfer: the next agents of the day ask for no more than is left."""
    configure(device, "mb_per_day = 0.1\n")
    server.entries = [big(server)]
    part = f"{sha256(BIG)}.part"
    assert device.run("once", fault=f"kill@{point} {part}").returncode == -signal.SIGKILL
    device.run("once")
    asked = [asked_bytes(seen) for seen in server.requests("GET", "artifacts/") if sha256(BIG) in seen.path]
    assert sum(asked) <= 100_000, "what was asked for counts, whether it came or not"
    assert refused(server)["rule"] == "day-budget"


def asked_bytes(seen: Seen) -> int:
    """How much one request asked for."""
    first, _, last = seen.headers["range"].removeprefix("bytes=").partition("-")
    return int(last or len(BIG) - 1) - int(first) + 1


def test_server_without_ranges_is_read_no_further_than_granted(device: Device, server: StandIn) -> None:
    def whole(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    configure(device, "mb_per_day = 0.1\n")
    server.entries = [big(server)]
    server.misbehave.extend([lambda handler, content: handler.send_range(content), whole])
    device.cycle()
    assert 90_000 < device.layout.received_bytes(sha256(BIG)) < 100_000
    assert refused(server)["rule"] == "day-budget"


def test_benchmark_waits_for_its_rules_and_is_made_up_for(device: Device, server: StandIn) -> None:
    configure(device, 'quiet_hours = ["12:00-13:00"]\n', '[bench]\nenabled = true\ntier = "smoke"\n')
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 3600
    noon = device.clock.local().replace(year=2030, hour=12, minute=0, second=0)
    before = noon - timedelta(seconds=1)  # the switch is in time, the benchmark is not
    device.clock.local = lambda: noon if device.current() else before  # type: ignore[method-assign]
    with device.agent() as agent:
        outcome = agent.cycle()
        assert device.served() == OLD.model
        assert (server.reports, outcome.delay_s) == ({}, 900)
        device.clock.ahead_s += 3601
        agent.cycle()
        assert refused(server) == {"rule": "quiet-hours", "detail": "benchmark waits: quiet hours are 12:00-13:00"}
        at(device, noon + timedelta(hours=1))
        device.clock.ahead_s += 900
        agent.cycle()
        assert len(server.reports) == 1
        device.clock.ahead_s += 3601
        agent.cycle()
        assert refused(server) is None


def test_bundle_obeys_the_owners_rules_but_those_of_the_link(device: Device, server: StandIn, tmp_path: Path) -> None:
    path = bundle_of(server, entry(server, OLD), tmp_path)
    configure(device, NEVER + ALL_DAY + "mb_per_day = 0.1\n")
    held = device.run("install", str(path))
    assert held.returncode == 10, held.stderr
    assert "quiet-hours" in held.stderr
    assert "the same command goes on another time" in held.stderr
    missing = device.run("install", "/does/not/exist")
    assert (missing.returncode, "cannot be read: No such file" in missing.stderr) == (7, True)
    assert device.current() is None
    insisted = device.run("install", "--now", str(path))
    assert insisted.returncode == 0, insisted.stderr
    assert device.served() == OLD.model


def test_refusal_survives_a_restart_without_being_said_again(device: Device, server: StandIn) -> None:
    configure(device, NEVER)
    server.entries = [entry(server, OLD)]
    device.run("once")
    server.seen.clear()
    device.run("once")
    assert [seen.method for seen in server.seen] == ["GET"]
    assert device.state()["refused"]["rule"] == "metered-link"


def test_device_whose_disk_cannot_note_the_day_still_polls(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    device.layout.day.write_bytes(b'{"date": "2000-01-01"')
    with device.agent() as agent:
        agent.gate.spending.charge(1 << 20, metered=False)  # more than is noted at once
        disk.inject("erofs@1+")
        assert agent.cycle().exit_code == 0


def test_count_of_the_day_that_cannot_be_read_does_not_keep_the_device_from_the_server(
    device: Device, server: StandIn
) -> None:
    server.entries = [entry(server, OLD)]
    device.layout.day.symlink_to("/proc/self/mem")  # EIO, as from a worn flash
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert not device.layout.day.is_symlink(), "written anew"
    assert device.run("status").returncode == 0
