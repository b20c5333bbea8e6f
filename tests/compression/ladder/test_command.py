"""`smallfleet ladder` from two files to rungs, records, report and picture."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest

from client.cli import main
from compression.datasets import Samples, write_samples_file
from compression.rate import delta_bytes
from tests.compression.ladder.conftest import Pair


def arguments(pair: Pair, out: Path, *more: str) -> list[str]:
    """Of a quick run on few samples."""
    samples = out.parent / "labelled.npz"
    write_samples_file(samples, pair.training.first(200))
    return [
        *("ladder", "--base", str(pair.base), "--new", str(pair.new), "--data", str(samples), "--out", str(out)),
        *("--iterations", "15", "--rungs", "2", *more),
    ]


def test_command_writes_rungs_records_report_and_picture_and_prints_a_table(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(pair, tmp_path, "--base", str(pair.new))) == 0
    out = capsys.readouterr().out
    for said in ("base (v1.onnx)", "new version", "trained-1", "trained-2", "McNemar p", "samples that nothing"):
        assert said in out
    document = json.loads((tmp_path / "ladder.json").read_text())
    assert document["schema"] == "smallfleet-ladder/1"
    assert document["samples"]["held_out"] + sum(document["samples"][part] for part in ("fitted", "chosen_on")) == 200
    assert [held["file"] for held in document["held"]] == ["v1.onnx", "v2.onnx"]
    names = {Path(rung["file"]).stem for rung in document["rungs"]}
    assert {"trained-1", "trained-2"} < names <= {"trained-1", "trained-2", "aimed-1", "aimed-2"}
    assert any(rung["chosen_as"] for rung in document["rungs"])
    for rung in document["rungs"]:
        file = tmp_path / rung["file"]
        onnx.checker.check_model(file, full_check=True)
        low, high = rung["accuracy_ci95"]
        assert low <= rung["accuracy"] <= high + 1e-9
        record = json.loads(file.with_suffix(".recipe.json").read_text())
        assert record["steps"][0]["facts"]["delta_bytes"] == rung["delta_bytes"][0]
        assert f"{rung['delta_bytes'][1]:,} = " in out
        assert rung["delta_bytes"][0] == delta_bytes(pair.base, file)
    sizes = [rung["delta_bytes"][0] for rung in document["rungs"]]
    assert sizes == sorted(sizes, reverse=True)
    picture = ET.parse(tmp_path / "ladder.svg").getroot()  # noqa: S314 - our own file
    assert picture.tag.endswith("svg")


def test_samples_without_labels_are_enough(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_samples_file(tmp_path / "unlabelled.npz", Samples({"image": pair.training.images[:200]}, None))
    options = arguments(pair, tmp_path / "out", "--json")
    options[options.index("--data") + 1] = str(tmp_path / "unlabelled.npz")
    options[options.index("--rungs") + 1] = "1"
    assert main(options) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["published"] == {}
    [rung] = document["rungs"]
    assert rung["accuracy"] is None
    assert rung["p_value"] is None
    assert 0.5 < rung["agreement"] <= 1


def test_rungs_are_chosen_on_samples_of_their_own_where_these_are_given(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = pair.held_out.first(80)
    write_samples_file(tmp_path / "unknown.npz", unknown)
    out = tmp_path / "out"
    assert main(arguments(pair, out, "--json", "--rungs", "1", "--choose-on", str(tmp_path / "unknown.npz"))) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["samples"]["chosen_on"] == 80
    assert document["samples"]["fitted"] + document["samples"]["held_out"] == 200
    assert document["chosen_on_sha256"] == unknown.sha256()
    assert document["rungs"][0]["chosen_on"]["asked"] == 80
    record = json.loads((out / "trained-1.recipe.json").read_text())
    assert record["steps"][0]["facts"]["chosen_on_sha256"] == unknown.sha256()


@pytest.mark.parametrize(
    "wrong",
    [
        (["--rungs", "0"], 2, "--rungs must be 1 or more"),
        (["--iterations", "0"], 2, "--iterations must be 1 or more"),
        (["--minutes", "0"], 2, "--minutes must be more than 0"),
        (["--held-out", "1"], 2, "--held-out is a share"),
        (["--publish"], 2, "--publish needs --model and --version and --contract"),
        (["--data", "digit"], 5, "digit: neither a file nor a named set"),
        (["--choose-on", "mnist"], 5, "the samples are [5000, 1, 28, 28]"),
        (["--new", "nowhere.onnx"], 5, "nowhere.onnx"),
    ],
)
def test_wrong_options_are_named(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[list[str], int, str]
) -> None:
    more, code, message = wrong
    assert main(arguments(pair, tmp_path, *more)) == code
    assert message in capsys.readouterr().err


def test_samples_that_do_not_fit_or_cannot_be_split_are_told_before_anything_is_made(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = pair.training.first(60)
    wrong = {
        "lonely.npz": (Samples(samples.inputs, np.r_[np.zeros(59), 1].astype(np.int64)), "60 samples cannot be split"),
        "text.npz": (Samples({"image": np.array(["a"] * 60)}, None), "input 'image' takes float32, the samples are"),
        "small.npz": (Samples({"image": samples.images[:, :, :7]}, None), "the samples are [60, 1, 7, 8]"),
    }
    for name, (given, message) in wrong.items():
        write_samples_file(tmp_path / name, given)
        options = arguments(pair, tmp_path / "out")
        options[options.index("--data") + 1] = str(tmp_path / name)
        assert main(options) == 5
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--base", "--new"])
def test_file_that_a_rung_could_take_the_place_of_is_refused(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    held = tmp_path / "out/trained-1.onnx"
    held.parent.mkdir()
    held.write_bytes(pair.base.read_bytes())
    options = arguments(pair, tmp_path / "out")
    options[options.index(option) + 1] = str(held)
    assert main(options) == 2
    assert "trained-1.onnx stands in --out" in capsys.readouterr().err
    assert held.read_bytes() == pair.base.read_bytes()


def test_weights_that_are_no_numbers_are_named(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(pair.new)
    tensor = next(found for found in model.graph.initializer if found.name == "4.weight")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, "4.weight"))
    onnx.save(model, tmp_path / "v2.onnx")
    options = arguments(pair, tmp_path / "out")
    options[options.index(str(pair.new))] = str(tmp_path / "v2.onnx")
    assert main(options) == 5
    assert "v2.onnx: tensor 4.weight has values that are not a number" in capsys.readouterr().err
