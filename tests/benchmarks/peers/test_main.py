"""The command, on a pair of committed models."""

import json
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import main
from benchmarks.peers.corpus.released import DEMO_FOLDER

FILTERS = ["--class", "fp32-to-int8", "--pair", "demo-digits-1.0.0"]


def test_the_table_holds_the_files_and_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peers = ["--peer", "ours fast", "--peer", "ours max", "--peer", "HDiffPatch"]
    assert main(["--cache", str(tmp_path), "table", *FILTERS, *peers, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = document["pairs"]
    assert entry["new"]["bytes"] == (DEMO_FOLDER / "digits-1.0.0-int8.onnx").stat().st_size
    assert set(entry["results"]) == {"ours fast", "ours max", "HDiffPatch"}
    ours, peer = entry["results"]["ours max"], entry["results"]["HDiffPatch"]
    assert entry["ratio"] == ours["patch_bytes"] / peer["patch_bytes"] < 0.2
    (verdict,) = [v for v in document["reach"] if v["goal"] == "fp32 to int8 of the same weights"]
    assert (verdict["figure"], verdict["pairs"]) == (entry["ratio"], 1)


def test_the_page_names_what_is_measured_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "peers.md"
    assert (
        main(
            ["--cache", str(tmp_path), "table", *FILTERS, "--peer", "HDiffPatch", "--peer", "ZipNN", "--out", str(page)]
        )
        == 0
    )
    text = page.read_text(encoding="utf-8")
    assert "ZipNN: not installed: python -m benchmarks.peers environments" in text
    assert "fp32-to-int8 | demo-digits-1.0.0 | demo digits-1.0.0-fp32.onnx to demo digits-1.0.0-int8.onnx" in text
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["corpus", "table"])
def test_filters_that_fit_nothing_are_an_error(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--cache", str(tmp_path), command, "--pair", "no-such-pair"]) == 2
    assert "no pair fits" in capsys.readouterr().err
