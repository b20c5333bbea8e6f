"""The switch and what follows: the owner's hooks, the health check, the step back by itself."""

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import Hooks, Shadow
from agent.decide import MAX_HEALTH_RUNS
from agent.hooks import Hook, Subject, call
from agent.layout import LinePaths
from agent.shadow import judge
from benchmarks.shadow import Comparison
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import CREDENTIAL, StandIn, sha256

OLD, NEW, NEWER = release(1), release(1, step=1e-4), release(3)
QUICK = "health_settle_s = 0\nhealth_interval_s = 0\n"


def hooks(tail: str = QUICK, **commands: str) -> str:
    """A `[hooks]` table of shell scripts."""
    lines = (f"{name} = {json.dumps(['/bin/sh', '-c', script])}\n" for name, script in commands.items())
    return "[hooks]\n" + "".join(lines) + tail


def says_no_to(bad: bytes) -> str:
    """A health check that only this model fails."""
    return f'echo checked; [ "$SMALLFLEET_SHA256" != {sha256(bad)} ]'


def logs_to(path: Path) -> str:
    return f"echo $SMALLFLEET_SHA256 $SMALLFLEET_VERSION >> {path}"


def ask_for(server: StandIn, version: str = "1.1.0") -> None:
    server.entries = [entry(server, NEW, version=version, with_samples=False)]


def kinds(server: StandIn) -> list[str]:
    return [kind for kind in server.kinds() if kind != "transferred"]


def test_healthy_model_is_activated_after_the_verdict(device: Device, server: StandIn, tmp_path: Path) -> None:
    counted = tmp_path / "checks"
    device.configure(hooks(QUICK + "health_checks = 3\n", health=f"echo ok >> {counted}"))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    assert counted.read_text() == "ok\n" * 3
    assert kinds(server) == ["started", "applied", "smoke_passed", "activated"]
    assert (device.state()["previous"], device.state()["pending"]) == (sha256(OLD.model), None)


def test_model_that_is_not_well_is_left_for_the_one_before_at_no_byte(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    device.configure(hooks(health=says_no_to(NEW.model), post_activate=logs_to(told)))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    assert kinds(server) == ["started", "applied", "smoke_passed", "rolled_back"]
    [event] = server.details("rolled_back")
    assert event == {
        "to": sha256(OLD.model),
        "reason": "hook-refused",
        "detail": "check 1 of 1: exit 1: checked",
    }
    assert told.read_text().splitlines() == [f"{sha256(NEW.model)} 1.1.0", f"{sha256(OLD.model)} 0.9.0"]
    assert server.said is not None
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert (server.requests("GET", "artifacts/"), device.served()) == ([], OLD.model), "not tried again in a loop"
    assert server.said["installations"][0]["current"] == sha256(OLD.model)
    assert [path.name for path in device.layout.line(MODEL).slots.iterdir()] == [sha256(OLD.model)]


def test_model_that_failed_here_is_tried_again_in_another_rollout(device: Device, server: StandIn) -> None:
    device.configure(hooks(health=says_no_to(NEW.model)))
    device.preinstall(OLD)
    ask_for(server)
    device.cycle()
    device.configure(hooks(health="true"))
    server.entries = [entry(server, NEW, version="1.1.0", rollout="6f8f5771-5090-da26-3245-3988d9a1501b")]
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model


def test_health_check_that_hangs_is_a_no(device: Device, server: StandIn) -> None:
    device.configure(hooks(QUICK + "timeout_s = 0.2\n", health="trap '' TERM; sleep 60 & sleep 60"))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 7
    assert (device.served(), server.details("rolled_back")[0]["reason"]) == (OLD.model, "hook-timeout")


@pytest.mark.parametrize(
    ("command", "reason", "detail"),
    [
        (["/bin/sh", "-c", "kill -9 $$"], "hook-crashed", "killed by signal 9"),
        (["/bin/sh", "-c", "echo out; echo err >&2; exit 2"], "hook-refused", "exit 2: err"),
        (["/bin/sh", "-c", "sleep 60"], "hook-timeout", "no answer within 0.2 s"),
        (["/bin/sh", "-c", "yes"], "hook-timeout", "y y y"),
        (["/no/such/program"], "hook-not-started", "No such file"),
        (["/etc"], "hook-not-started", "Permission denied"),
    ],
)
def test_hook_that_gives_no_yes_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: list[str], reason: str, detail: str
) -> None:
    limits = Hooks(timeout_s=0.2 if reason == "hook-timeout" else 30)
    answer = call(Hook.HEALTH, command, Subject(MODEL, LinePaths(tmp_path)), limits)
    assert [record.why for record in caplog.records] == [answer.detail]  # type: ignore[attr-defined]
    assert not answer.is_yes
    assert answer.reason == reason
    assert detail in answer.detail


def test_hook_that_is_not_configured_says_yes(tmp_path: Path) -> None:
    assert call(Hook.HEALTH, (), Subject(MODEL, LinePaths(tmp_path)), Hooks()).is_yes


def test_agent_that_is_stopped_in_health_checks_goes_on_asking(device: Device, server: StandIn, tmp_path: Path) -> None:
    asked, well = tmp_path / "asked", tmp_path / "well"
    device.configure(hooks(health=f"echo $$ >> {asked}; [ -e {well} ] || sleep 60"))
    device.preinstall(OLD)
    ask_for(server)
    for times in range(1, MAX_HEALTH_RUNS + 1):
        with subprocess.Popen(device.command("once"), stderr=subprocess.DEVNULL) as process:
            while not asked.exists() or len(asked.read_text().splitlines()) < times:
                assert process.poll() is None
                time.sleep(0.02)
            process.terminate()
            assert process.wait(20) == 0
    well.touch()
    device.cycle()
    assert (device.served(), kinds(server)[-1]) == (NEW.model, "activated")


def test_one_no_among_several_questions_is_enough(device: Device, server: StandIn, tmp_path: Path) -> None:
    device.configure(hooks(QUICK + "health_checks = 3\n", health=f"[ ! -e {tmp_path}/once ] && touch {tmp_path}/once"))
    device.preinstall(OLD)
    ask_for(server)
    device.cycle()
    assert server.details("rolled_back")[0]["detail"] == "check 2 of 3: exit 1"
    assert device.served() == OLD.model


def test_first_install_that_is_not_well_is_taken_back(device: Device, server: StandIn, tmp_path: Path) -> None:
    told = tmp_path / "told"
    device.configure(hooks(health="exit 3", post_activate=f'echo "[$SMALLFLEET_SHA256]" >> {told}'))
    ask_for(server)
    assert device.cycle().exit_code == 7
    assert device.current() is None
    assert not device.layout.line(MODEL).current.is_symlink()
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("health", "hook-refused", True)
    assert told.read_text().splitlines() == [f"[{sha256(NEW.model)}]", "[]"]
    server.seen.clear()
    device.cycle()
    assert (server.requests("GET", "artifacts/"), device.current()) == ([], None)


def test_step_back_to_a_model_that_rotted_serves_none_rather(device: Device, server: StandIn) -> None:
    rotten = device.layout.line(MODEL).model(sha256(OLD.model))
    device.configure(hooks(health="exit 1", post_activate=f"echo rot >> {rotten}"))
    device.preinstall(OLD)
    ask_for(server)
    device.cycle()
    assert device.current() is None
    assert server.details("failed")[0]["stage"] == "health"
    server.entries = [entry(server, OLD, version="0.9.0")]
    device.configure()
    device.cycle()
    assert device.served() == OLD.model


def test_model_before_the_previous_is_still_known_after_a_step_back(device: Device, server: StandIn) -> None:
    device.preinstall(NEWER)
    server.entries = [entry(server, OLD, version="0.9.0")]
    device.cycle()
    device.configure(hooks(health="exit 1"))
    ask_for(server)
    device.cycle()
    assert device.served() == OLD.model
    assert device.state()["previous"] == sha256(NEWER.model)
    assert {path.name for path in device.layout.line(MODEL).slots.iterdir()} == {
        sha256(OLD.model),
        sha256(NEWER.model),
    }


def test_step_back_that_the_server_orders_is_checked_too(device: Device, server: StandIn) -> None:
    first = entry(server, OLD, version="0.9.0")
    device.preinstall(OLD)
    ask_for(server)
    device.cycle()
    device.configure(hooks(health=says_no_to(OLD.model)))
    server.entries = [first]
    assert device.cycle().exit_code == 7
    assert device.served() == NEW.model
    assert device.state()["previous"] is None, "a model that is not well is none to go back to"


def test_unhealthy_model_is_left_while_the_server_cannot_be_asked(device: Device, server: StandIn) -> None:
    """The link goes down with the switch, and the server with it; both the verdict and its report come through."""
    device.configure(hooks(QUICK, health=says_no_to(NEW.model)))
    device.preinstall(OLD)
    ask_for(server)
    server.problems["events"] = (503, "busy")
    device.cycle()
    assert (device.served(), server.events) == (OLD.model, {})
    server.problems.clear()
    device.cycle()
    assert kinds(server)[-1] == "rolled_back"


def test_hook_that_says_not_now_is_asked_again_and_the_server_hears(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    ready, asked = tmp_path / "ready", tmp_path / "asked"
    device.configure(hooks(pre_activate=f"echo $SMALLFLEET_SLOT >> {asked}; [ -e {ready} ] || exit 75"))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert asked.read_text().splitlines()[0] == str(device.layout.line(MODEL).slot(sha256(NEW.model)))
    assert server.said is not None
    refused = server.said["installations"][0]["refused"]
    assert refused["rule"] == "pre-activate"
    server.seen.clear()
    before = device.layout.state.stat().st_mtime_ns
    device.cycle()
    assert device.layout.state.stat().st_mtime_ns == before, "asking again writes nothing"
    ready.touch()
    device.cycle()
    assert device.served() == NEW.model
    assert server.requests("GET", "artifacts/") == []
    assert server.said["installations"][0].get("refused") is None


def test_hook_that_says_never_is_a_veto_for_good(device: Device, server: StandIn) -> None:
    device.configure(hooks(pre_activate="echo wrong camera >&2; exit 77"))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 7
    [failed] = server.details("failed")
    assert failed == {
        "stage": "pre-activate",
        "reason": "vetoed",
        "detail": "exit 77: wrong camera",
        "permanent": True,
    }
    server.seen.clear()
    device.cycle()
    assert (server.requests("GET", "artifacts/"), device.served()) == ([], OLD.model)


def test_hook_that_fails_keeps_what_was_fetched_and_is_asked_in_the_next_attempt(
    device: Device, server: StandIn
) -> None:
    device.configure(hooks(pre_activate="exit 1"))
    device.preinstall(OLD)
    ask_for(server)
    assert device.cycle().exit_code == 7
    assert (server.details("failed")[0]["stage"], server.details("failed")[0]["permanent"]) == ("pre-activate", False)
    assert device.served() == OLD.model
    device.configure(hooks(pre_activate="exit 0"))
    server.seen.clear()
    device.cycle()
    assert device.served() == NEW.model
    assert server.requests("GET", "artifacts/") == []


def test_hooks_see_no_credential_and_their_own_variables(device: Device, server: StandIn, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"env >> {seen}; cat {device.layout.identity} >/dev/null"
    device.configure(hooks(pre_activate=script, post_activate=script, health=script))
    device.preinstall(OLD)
    ask_for(server)
    ended = device.run("once")
    assert ended.returncode == 0, ended.stderr
    text = seen.read_text()
    assert CREDENTIAL not in text
    assert [line for line in text.splitlines() if line.startswith("SMALLFLEET_HOOK=")] == [
        f"SMALLFLEET_HOOK={name}" for name in ("pre_activate", "post_activate", "health")
    ]
    assert {line.partition("=")[0] for line in text.splitlines() if line.startswith("SMALLFLEET_")} == {
        f"SMALLFLEET_{name}" for name in ("HOOK", "MODEL", "CURRENT", "SLOT", "SHA256", "VERSION", "VARIANT")
    }


SHADOW = "[shadow]\nenabled = true\n"


def test_shadow_run_is_reported_before_the_activation(device: Device, server: StandIn) -> None:
    device.configure(SHADOW + "min_samples = 4\nmax_disagreement = 0.5\n")
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    assert kinds(server) == ["started", "applied", "smoke_passed", "shadowed", "activated"]
    [found] = server.details("shadowed")
    assert (found["source"], found["samples"], found["disagreement"], found["vetoed"]) == ("sample-set", 6, 0.0, False)
    assert 0 < found["max_abs_error"] < 0.01
    assert found["latency_ratio"] > 0


def test_shadow_run_vetoes_for_good(device: Device, server: StandIn) -> None:
    device.configure(SHADOW + "min_samples = 4\nmax_disagreement = 0.2\n")
    device.preinstall(OLD)
    server.entries = [entry(server, NEWER, version="1.1.0")]
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    assert kinds(server) == ["started", "applied", "smoke_passed", "shadowed", "failed"]
    assert server.details("shadowed")[0]["vetoed"] is True
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("shadow", "disagreement", True)
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert server.requests("GET", "artifacts/") == []


FOUND = Comparison(
    source="recent-inputs",
    samples=20,
    skipped=0,
    why_not=None,
    refused=None,
    disagreement=0.2,
    max_abs_error=0.5,
    mean_abs_error=0.1,
    newly_not_finite=0,
    latency_ns=20e6,
    latency_ratio=2.0,
    latency_basis="wall",
    memory_bytes=100 << 20,
)
NOTHING = replace(FOUND, disagreement=None, max_abs_error=None, latency_ns=None, latency_ratio=None, memory_bytes=None)
STRICT = Shadow(max_disagreement=0, max_abs_error=0, max_latency_ratio=1, max_latency_ms=1, max_memory_mib=1)


@pytest.mark.parametrize(
    ("found", "limits", "reason"),
    [
        (FOUND, Shadow(), None),
        (FOUND, Shadow(max_disagreement=0.2), None),
        (FOUND, Shadow(max_disagreement=0.19), "disagreement"),
        (FOUND, Shadow(max_abs_error=0.4), "abs-error"),
        (FOUND, Shadow(max_latency_ratio=1.9), "latency-ratio"),
        (FOUND, Shadow(max_latency_ms=19), "latency-ms"),
        (FOUND, Shadow(max_latency_ms=21), None),
        (FOUND, Shadow(max_memory_mib=99), "memory-mib"),
        (FOUND, replace(STRICT, min_samples=21), "latency-ratio"),
        (NOTHING, STRICT, None),
        (replace(FOUND, refused="bad shape"), Shadow(), "input-refused"),
        (replace(FOUND, newly_not_finite=1), Shadow(), "not-finite"),
    ],
)
def test_shadow_run_is_judged_by_the_owners_limits(found: Comparison, limits: Shadow, reason: str | None) -> None:
    objection = judge(found, limits)
    assert (None if objection is None else objection.reason) == reason


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        (Shadow(max_latency_ratio=1.9), "2 times the wall time of the current model, allowed is 1.9"),
        (Shadow(max_latency_ms=19), "20 ms of wall time, median, allowed is 19"),
        (Shadow(max_memory_mib=99), "100 MiB for loading and one inference, allowed is 99"),
    ],
)
def test_veto_says_its_figure_with_the_unit(limits: Shadow, detail: str) -> None:
    objection = judge(FOUND, limits)
    assert objection is not None
    assert objection.detail == detail


def test_first_install_says_that_there_was_nothing_to_compare_with(device: Device, server: StandIn) -> None:
    device.configure(SHADOW + "max_disagreement = 0\n")
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert device.served() == NEW.model
    [found] = server.details("shadowed")
    assert (found["why_not"], found["disagreement"], found["latency_ratio"]) == ("no-current", None, None)


def test_model_in_service_that_has_rotted_is_no_reason_for_a_veto(device: Device, server: StandIn) -> None:
    device.configure(SHADOW + "min_samples = 4\nmax_disagreement = 0\n")
    device.preinstall(OLD)
    server.entries = [entry(server, OLD, version="0.9.0")]
    device.cycle()
    device.layout.line(MODEL).model(sha256(OLD.model)).write_bytes(NEWER.model)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert device.served() == NEW.model
    assert server.details("shadowed")[0]["why_not"] == "no-current"
