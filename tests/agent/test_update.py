"""Updates from poll to activation, with real models, real children and real HTTP."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent import disk
from delta.encoder import encode
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import Handler, StandIn, sha256

OLD, NEW = release(1), release(1, step=1e-4)


def patch_way(server: StandIn, base: bytes | None, target: bytes, folder: Path) -> dict[str, object]:
    """A real patch, put on the server."""
    base_file, new_file, patch_file = folder / "base", folder / "new", folder / "patch"
    new_file.write_bytes(target)
    if base is not None:
        base_file.write_bytes(base)
    encode(base_file if base is not None else None, new_file, patch_file)
    way = {"way": "packed", "format": 1, **server.add(patch_file.read_bytes())}
    return way if base is None else {**way, "way": "delta", "base": sha256(base)}


def test_first_install_raw_is_served_and_told(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert server.kinds() == [
        "started", "transferred", "transferred", "transferred", "applied", "smoke_passed", "activated",
    ]  # fmt: skip
    assert server.details("started") == [{"from": None, "way": "raw"}]
    assert server.details("activated") == [{"previous": None}]
    assert server.said is not None
    assert server.said["installations"] == [{"model": MODEL, "current": sha256(OLD.model), "previous": None}]
    slot = device.layout.line(MODEL).slot(sha256(OLD.model))
    assert (slot / "contract.json").read_bytes() == OLD.contract
    assert json.loads((slot / "manifest.json").read_text())["version"] == "1.0.0"


def test_transferred_bytes_are_those_of_the_link(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    device.cycle()
    detail = next(one for one in server.details("transferred") if one["way"] == "raw")
    request = next(seen for seen in server.requests("GET", "artifacts/") if sha256(OLD.model) in seen.path)
    lines = [f"GET {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
    assert detail["bytes_sent"] == len("\r\n".join(lines))
    assert len(OLD.model) < detail["bytes_received"] < len(OLD.model) + 400
    assert (detail["complete"], detail["requests"]) == (True, 1)


def test_update_by_delta_fetches_the_patch_alone(device: Device, server: StandIn, tmp_path: Path) -> None:
    device.preinstall(OLD)
    way = patch_way(server, OLD.model, NEW.model, tmp_path)
    server.entries = [entry(server, NEW, version="1.1.0", patches=(way,))]
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    fetched = [seen.path.rpartition("/")[2] for seen in server.requests("GET", "artifacts/")]
    assert fetched == [sha256(NEW.samples), way["sha256"]], "the contract is the one that is here"
    applied = server.details("applied")[-1]
    assert applied["way"] == "delta"
    assert applied["peak_memory_bytes"] > 1 << 20
    assert device.state()["previous"] == sha256(OLD.model)


def test_packed_first_install_is_decoded(device: Device, server: StandIn, tmp_path: Path) -> None:
    server.entries = [entry(server, OLD, patches=(patch_way(server, None, OLD.model, tmp_path),))]
    device.cycle()
    assert device.served() == OLD.model
    assert server.details("started") == [{"from": None, "way": "packed"}]


def test_delta_from_a_base_of_another_line_is_used(device: Device, server: StandIn, tmp_path: Path) -> None:
    device.configure(models=(MODEL, "words"))
    device.preinstall(OLD)
    way = patch_way(server, OLD.model, NEW.model, tmp_path)
    server.entries = [entry(server, NEW, model="words", patches=(way,))]
    device.cycle()
    assert device.served("words") == NEW.model
    assert server.details("applied")[-1]["way"] == "delta"


@pytest.mark.parametrize("wrong", ["garbage", "patch-of-another-target"])
def test_wrong_patch_costs_a_fallback_to_raw(device: Device, server: StandIn, tmp_path: Path, wrong: str) -> None:
    device.preinstall(OLD)
    if wrong == "garbage":
        way = {"way": "delta", "base": sha256(OLD.model), "format": 1, **server.add(b"SFDP" + bytes(500))}
    else:
        way = patch_way(server, OLD.model, release(1, step=1e-3).model, tmp_path)
    server.entries = [entry(server, NEW, version="1.1.0", patches=(way,))]
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    [fallback] = server.details("fallback")
    assert (fallback["from"], fallback["to"]) == ("delta", "raw")


def test_failed_smoke_run_keeps_the_old_model_and_is_not_repeated(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    bad = release(2, golden_error=0.5)
    server.entries = [entry(server, bad, version="1.1.0")]
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("smoke", "golden-outputs", True)
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert server.requests("GET", "artifacts/") == [], "a permanent failure is not tried again"
    slots = [path.name for path in device.layout.line(MODEL).slots.iterdir()]
    assert slots == [sha256(OLD.model)]


def test_model_without_an_output_of_its_contract_is_refused(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, release(1, output="other"))]
    assert device.cycle().exit_code == 7
    assert server.details("failed")[0]["reason"] == "contract-broken"
    assert device.current() is None


def test_file_that_is_no_model_is_refused(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, replace(OLD, model=b"no model at all"))]
    assert device.cycle().exit_code == 7
    assert (server.details("failed")[0]["stage"], device.current()) == ("smoke", None)


def test_step_back_to_previous_costs_no_byte(device: Device, server: StandIn) -> None:
    first = entry(server, OLD)
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    server.entries = [{**first, "rollout": None}]
    server.seen.clear()
    server.events.clear()
    device.cycle()
    assert device.served() == OLD.model
    assert server.requests("GET", "artifacts/") == []
    assert server.kinds() == ["started", "activated"]
    assert server.details("started") == [{"from": sha256(NEW.model), "way": "previous"}]
    assert device.state()["previous"] == sha256(NEW.model)


def test_damaged_previous_is_fetched_again(device: Device, server: StandIn) -> None:
    first = entry(server, OLD)
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    device.layout.line(MODEL).model(sha256(OLD.model)).write_bytes(b"rotten")
    server.entries = [first]
    device.cycle()
    assert device.served() == OLD.model
    assert server.details("fallback") == [{"from": "previous", "to": "raw", "reason": "previous-damaged"}]


def test_held_rollout_starts_nothing(device: Device, server: StandIn) -> None:
    server.entries = [{**entry(server, OLD), "action": "hold"}]
    device.cycle()
    assert (device.current(), server.events, server.requests("GET", "artifacts/")) == (None, {}, [])


def test_agent_waits_for_a_pending_delta_and_then_takes_what_is_there(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD, delta_pending=True, wait_for_delta_s=30)]
    waiting = device.cycle()
    assert device.current() is None
    assert 0 < waiting.delay_s <= 30
    device.clock.ahead_s = 31
    device.cycle()
    assert device.served() == OLD.model


def test_withdrawn_target_closes_the_attempt(device: Device, server: StandIn) -> None:
    wanted = entry(server, OLD)
    server.entries = [wanted]
    server.problems["artifacts"] = (503, "busy")
    device.cycle()
    server.entries = [{**wanted, "target": None}]
    device.cycle()
    assert server.details("failed")[0]["reason"] == "withdrawn"
    assert device.state()["pending"] is None


def test_target_withdrawn_before_anything_was_done_ends_without_a_word(device: Device, server: StandIn) -> None:
    wanted = entry(server, OLD, delta_pending=True)
    server.entries = [wanted]
    device.cycle()
    server.entries = [{**wanted, "target": None}]
    device.cycle()
    assert (device.state()["pending"], server.events) == (None, {})


def test_benchmark_after_activation_is_reported(device: Device, server: StandIn) -> None:
    device.configure('[bench]\nenabled = true\ntier = "smoke"\n')
    server.entries = [entry(server, OLD)]
    device.cycle()
    [report] = server.reports.values()
    [attempt] = {attempt for attempt, _seq in server.events}
    assert (report["model"], report["sha256"], report["attempt"]) == (MODEL, sha256(OLD.model), attempt)
    assert report["report"]["schema"].startswith("bench-report/1")
    server.seen.clear()
    device.cycle()
    assert server.requests("POST", "reports") == []


def test_each_configuration_is_a_report_of_its_own(device: Device, server: StandIn) -> None:
    device.configure('[bench]\nenabled = true\ntier = "smoke"\nconfigurations = ["canonical", "device-default"]\n')
    server.entries = [entry(server, OLD)]
    device.cycle()
    named = {message["report"]["runtime"]["configuration"] for message in server.reports.values()}
    assert (named, len(server.reports)) == ({"canonical", "device-default"}, 2)


def test_benchmark_that_fails_leaves_the_model_active_and_is_not_tried_again(
    device: Device, server: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    device.configure('[bench]\nenabled = true\ntier = "smoke"\nproviders = ["QNNExecutionProvider"]\n')
    server.entries = [entry(server, OLD)]
    device.cycle()
    slugs = [vars(record)["slug"] for record in caplog.records if record.msg == "benchmark_failed"]
    assert slugs == ["provider-unavailable"]
    assert (server.reports, device.state()["benchmark"]) == ({}, None)
    assert device.current() == sha256(OLD.model)


def test_hook_is_told_after_the_switch(device: Device, server: StandIn, tmp_path: Path) -> None:
    told = tmp_path / "told"
    hook = json.dumps(
        ["/bin/sh", "-c", f'cat "$SMALLFLEET_CURRENT/manifest.json" > {told}; echo $SMALLFLEET_VERSION >> {told}']
    )
    device.configure(f"[hooks]\npost_activate = {hook}\n")
    server.entries = [entry(server, OLD, version="3.2.1")]
    device.cycle()
    assert sha256(OLD.model) in told.read_text()
    assert told.read_text().endswith("3.2.1\n")


def test_failing_hook_undoes_nothing(device: Device, server: StandIn) -> None:
    device.configure('[hooks]\npost_activate = ["/bin/false"]\n')
    server.entries = [entry(server, OLD)]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model


def test_reader_of_the_old_file_is_not_disturbed(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    with (device.layout.line(MODEL).current / "model.onnx").open("rb") as reader:
        for version, newer in (("1.1.0", NEW), ("1.2.0", release(3))):
            server.entries = [entry(server, newer, version=version)]
            device.cycle()
        assert reader.read() == OLD.model
    assert len(list(device.layout.line(MODEL).slots.iterdir())) == 2


def test_rollout_paused_during_a_long_step_is_not_finished(device: Device, server: StandIn) -> None:
    """The answer is asked for again when a step took longer than the polling interval."""
    device.preinstall(OLD)
    wanted = entry(server, NEW, version="1.1.0", with_samples=False)
    server.entries = [wanted]

    def pause_meanwhile(handler: Handler, content: bytes) -> None:
        device.clock.ahead_s += 3600
        server.entries = [{**wanted, "action": "hold"}]
        handler.send_range(content)

    server.misbehave.append(pause_meanwhile)
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    server.entries = [wanted]
    server.seen.clear()
    device.cycle()
    assert device.served() == NEW.model
    assert server.requests("GET", "artifacts/") == [], "what was fetched is still here"


def test_failure_that_may_pass_is_tried_again_ever_more_rarely(device: Device, server: StandIn) -> None:
    """A disk that stays full: one attempt in a cycle, and each failure doubles the time until the next."""
    device.configure("[policy]\nretry_failed_s = 600\n")
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0", with_samples=False)]
    for _cycle in range(60):
        device.clock.ahead_s += 600
        disk.inject("enospc@append")
        device.cycle()
    failures = len(server.details("failed"))
    assert 3 <= failures <= 7
