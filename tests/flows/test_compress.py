"""A recipe's variant, published to a real server in the same command, and what the server shows of it."""

from pathlib import Path

from client.demo.models import FOLDER, LINE, DemoModel
from tests.flows.conftest import Flow

NEW = DemoModel("1.0.0", "fp32")


def test_variant_is_published_with_evaluations_tolerances_and_record(flow: Flow, tmp_path: Path) -> None:
    flow.publish("1.0.0", "fp32")
    arguments = (
        *("compress", str(NEW.file), "--recipe", "fp16", "--data", "digits", "--out", str(tmp_path)),
        *("--publish", "--model", LINE, "--version", "1.0.0"),
        *("--contract", str(FOLDER / f"{LINE}.contract.json"), "--samples", str(FOLDER / f"{LINE}-1.0.0.samples.npz")),
    )
    made = flow.cli_json(*arguments)
    [row] = made["variants"]
    assert row["published"]["state"] == "published"
    with flow.rest() as rest:
        version = rest.get(f"models/{LINE}/versions/1.0.0")
    [variant] = [one for one in version["variants"] if one["name"] == "fp16"]
    assert variant["sha256"] == row["sha256"]
    assert {name: said for name, said in variant["tolerances"].items() if said is not None} == {"min_agreement": 0.99}
    measured = {one["metric"]: one for one in variant["evaluations"]}
    assert measured["accuracy"]["value"] == row["accuracy"]
    assert measured["accuracy"]["sample_count"] == row["sample_count"]
    assert measured["accuracy"]["dataset_sha256"] == row["dataset_sha256"]
    assert measured["agreement"]["value"] == row["against_source"]["agreement"]
    assert variant["recipe"] == row["recipe"]
    again = flow.cli_json(*arguments)
    assert not again["variants"][0]["published"]["changed"]
