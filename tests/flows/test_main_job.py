"""The main job: a model goes from CI to devices and comes back as evidence."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from client.demo.models import FOLDER, LINE, DemoModel
from client.processes import smallfleet
from tests.flows.conftest import QUICK, Flow

TIERS = '[bench]\ntier = "smoke"\n'


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_model_goes_from_ci_to_devices_by_the_cheapest_way_and_comes_back_as_evidence(flow: Flow) -> None:
    assert flow.publish("1.0.0", "fp32")["state"] == "published"
    flow.publish("1.0.0", "int8")
    with flow.rest() as rest:
        rest.post("link-classes", {"name": "lte", "price_per_mb": "4.00", "metered": True})
    gate = flow.enroll(
        "gate", models=(LINE,), device_class="pi5", link_class="lte", options="poll_interval_s = 0.5\n" + TIERS
    )
    yard = flow.enroll("yard", models=(LINE,), device_class="pi4", options=QUICK)
    for device in (gate, yard):
        flow.once(device)

    first = flow.finish(flow.roll_out("1.0.0", "fp32"), gate, yard)
    assert first["progress"]["succeeded"] == 2
    for device in (gate, yard):
        assert sha256(device.current_model(LINE)) == sha256(DemoModel("1.0.0", "fp32").file)

    flow.publish("1.1.0", "fp32")
    second_id = flow.roll_out("1.1.0", "fp32", wait_for_delta_s=60)
    flow.finish(second_id, gate, yard)
    assert sha256(gate.current_model(LINE)) == sha256(DemoModel("1.1.0", "fp32").file)
    with flow.rest() as rest:
        ledger = rest.get(f"rollouts/{second_id}/ledger")
        reports = list(rest.pages("reports", model=LINE))
    ways = {row["way"] for row in ledger["by_way"]}
    assert "delta" in ways, ledger
    assert "raw" not in ways, ledger
    delta = next(row for row in ledger["by_way"] if row["way"] == "delta")
    # The server counts body bytes, the agent headers too.
    assert 0 < delta["server_bytes"] < delta["agent_bytes"] < 2 * (DemoModel("1.1.0", "fp32").file).stat().st_size
    assert {
        report["device"]["name"] if isinstance(report["device"], dict) else report["device_name"] for report in reports
    } == {"gate"}
    newest = reports[0]["report"]
    assert newest["latency"]["p50"] > 0
    assert newest["artifact"]["model_sha256"] == sha256(DemoModel("1.1.0", "fp32").file)


def test_fp32_device_gets_int8_for_a_fraction(flow: Flow) -> None:
    for variant in ("fp32", "int8"):
        flow.publish("1.0.0", variant)
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=QUICK)
    flow.once(device)
    flow.finish(flow.roll_out("1.0.0", "fp32"), device)
    rollout_id = flow.roll_out("1.0.0", "int8", wait_for_delta_s=60)
    flow.finish(rollout_id, device)
    int8 = DemoModel("1.0.0", "int8").file
    assert sha256(device.current_model(LINE)) == sha256(int8)
    with flow.rest() as rest:
        ledger = rest.get(f"rollouts/{rollout_id}/ledger")
    assert ledger["agent_bytes"] < 0.25 * int8.stat().st_size


def test_what_the_chart_says_before_equals_the_ledger_after_within_five_percent(flow: Flow) -> None:
    flow.publish("1.0.0", "fp32")
    devices = [flow.enroll(f"device-{n}", models=(LINE,), device_class="pi5", options=QUICK) for n in range(2)]
    for device in devices:
        flow.once(device)
    flow.finish(flow.roll_out("1.0.0", "fp32"), *devices)
    flow.publish("1.1.0", "fp32")
    flow.publish("1.1.0", "int8")
    for variant in ("fp32", "int8"):
        flow.wait_for(lambda variant=variant: not _cost_of(flow, variant)["is_upper_bound"])  # type: ignore[misc]
        foretold = _cost_of(flow, variant)["bytes_total"]
        rollout_id = flow.roll_out("1.1.0", variant)
        flow.finish(rollout_id, *devices)
        with flow.rest() as rest:
            counted = rest.get(f"rollouts/{rollout_id}/ledger")["agent_bytes"]
        assert abs(counted - foretold) <= 0.05 * foretold, (variant, foretold, counted)


def _cost_of(flow: Flow, variant: str) -> dict[str, Any]:
    with flow.rest() as rest:
        costs = rest.get(f"models/{LINE}/costs")
    rows = costs["results"] if "results" in costs else costs["variants"]
    return next(row for row in rows if row["version"] == "1.1.0" and row["variant"] == variant)


def test_publishing_twice_changes_nothing_and_other_bytes_are_refused(flow: Flow) -> None:
    flow.publish("1.0.0", "fp32")
    again = flow.publish("1.0.0", "fp32")
    assert not again["changed"] if "changed" in again else again["uploaded_bytes"] == 0
    command = [
        "publish",
        str(DemoModel("1.1.0", "fp32").file),
        "--model",
        LINE,
        "--version",
        "1.0.0",
        "--variant",
        "fp32",
    ]
    command += [
        "--contract",
        str(FOLDER / "digits.contract.json"),
        "--samples",
        str(FOLDER / "digits-1.0.0.samples.npz"),
    ]
    refused = subprocess.run(
        smallfleet(*command), capture_output=True, text=True, check=False, env=flow.children.environment
    )
    assert refused.returncode == 3
    assert "variant-differs" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_step_back_to_the_previous_version_costs_no_byte(flow: Flow) -> None:
    flow.publish("1.0.0", "fp32")
    flow.publish("1.1.0", "fp32")
    device = flow.enroll("gate", models=(LINE,), device_class="pi5", options=QUICK)
    flow.once(device)
    for version in ("1.0.0", "1.1.0"):
        flow.finish(flow.roll_out(version, "fp32"), device)
    back_id = flow.roll_out("1.0.0", "fp32")
    flow.finish(back_id, device)
    assert sha256(device.current_model(LINE)) == sha256(DemoModel("1.0.0", "fp32").file)
    with flow.rest() as rest:
        assert rest.get(f"rollouts/{back_id}/ledger")["agent_bytes"] == 0


def test_aborted_rollout_with_roll_back_brings_devices_back(flow: Flow) -> None:
    flow.publish("1.0.0", "fp32")
    flow.publish("1.1.0", "fp32")
    gate, late = (flow.enroll(name, models=(LINE,), device_class="pi5", options=QUICK) for name in ("gate", "late"))
    for device in (gate, late):
        flow.once(device)
    flow.finish(flow.roll_out("1.0.0", "fp32"), gate, late)
    rollout_id = flow.roll_out("1.1.0", "fp32")
    flow.once(gate)
    while sha256(gate.current_model(LINE)) != sha256(DemoModel("1.1.0", "fp32").file):
        flow.once(gate)
    with flow.rest() as rest:
        rest.post(f"rollouts/{rollout_id}/abort", {"roll_back": True})
    for device in (gate, late):
        flow.once(device)
        assert sha256(device.current_model(LINE)) == sha256(DemoModel("1.0.0", "fp32").file)
