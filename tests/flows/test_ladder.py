"""A ladder between two versions that devices know, published to a real server."""

from pathlib import Path

from client.demo.models import FOLDER, LINE, DemoModel
from tests.flows.conftest import Flow

BASE, NEW = DemoModel("1.0.0", "fp32"), DemoModel("1.1.0", "fp32")


def test_chosen_rungs_are_variants_with_base_evaluations_and_record(flow: Flow, tmp_path: Path) -> None:
    flow.publish("1.0.0", "fp32")
    flow.publish("1.1.0", "fp32")
    made = flow.cli_json(
        "ladder",
        *("--base", str(BASE.file), "--new", str(NEW.file), "--data", "digits", "--out", str(tmp_path)),
        *("--rungs", "1", "--iterations", "5", "--publish", "--model", LINE, "--version", "1.1.0"),
        *("--contract", str(FOLDER / f"{LINE}.contract.json"), "--samples", str(FOLDER / f"{LINE}-1.1.0.samples.npz")),
        *("--tolerance", "min_agreement=0.1"),
    )
    rung = next(one for one in made["rungs"] if one["variant"])
    assert made["published"][rung["variant"]]["state"] == "published"
    with flow.rest() as rest:
        version = rest.get(f"models/{LINE}/versions/1.1.0")
    [variant] = [one for one in version["variants"] if one["name"] == rung["variant"]]
    assert variant["sha256"] == rung["sha256"]
    assert variant["base_sha256"] == made["held"][0]["sha256"]
    measured = {one["metric"]: one["value"] for one in variant["evaluations"]}
    assert measured == {"accuracy": rung["accuracy"], "agreement": rung["agreement"]}
    assert variant["recipe"]["steps"][0]["facts"]["delta_bytes"] == rung["delta_bytes"][0]
