"""Rows: counted in the file, kept until something they follow from changes, and priced."""

import dataclasses
import json
from pathlib import Path

import pytest
from torch import nn

from compression.zoo import NetShape, Paper, ZooEntry
from compression.zoo import table as table_module
from compression.zoo.table import Counts, Row, count, default_folder, table


def _refuse(shape: NetShape) -> nn.Module:
    raise AssertionError("built again")


def test_counts_are_those_of_the_file(small: ZooEntry) -> None:
    counts = count(small)
    # 64 places of 3 x 3 x 3 x 3, twice, and 3 x 5 of the dense layer.
    assert counts.macs == 2 * 64 * 81 + 15
    assert (counts.param_count, counts.param_bytes, counts.ops_uncounted) == (213, 852, {})
    assert counts.peak_activation_bytes == 2 * 3 * 64 * 4
    assert counts.size_bytes > 852


def test_row_says_what_was_counted_beside_the_paper(small: ZooEntry, tmp_path: Path) -> None:
    (row,) = table([small], folder=tmp_path)
    document = row.as_json()
    assert list(document)[:9] == [
        "name",
        "param_count",
        "param_bytes",
        "dtype",
        "macs",
        "peak_activation_bytes",
        "paper_bytes",
        "ratio",
        "explanation",
    ]
    assert document["ratio"] == 0.852
    assert document["explanation"] == "213 weights, 852 bytes, 0.852 of 1 kB"
    assert not row.is_near


def test_counts_are_kept_and_not_made_again(small: ZooEntry, tmp_path: Path) -> None:
    first = table([small], folder=tmp_path)
    again = table([dataclasses.replace(small, build=_refuse)], folder=tmp_path)
    assert [row.counts for row in again] == [row.counts for row in first]


@pytest.mark.parametrize(
    "change", [{"shape": NetShape(height=9, width=8, classes=5)}, {"dtype": "float16"}, {"name": "other"}]
)
def test_other_shape_precision_or_net_is_counted_anew(
    small: ZooEntry, tmp_path: Path, change: dict[str, object]
) -> None:
    table([small], folder=tmp_path)
    with pytest.raises(AssertionError, match="built again"):
        table([dataclasses.replace(small, build=_refuse, **change)], folder=tmp_path)  # type: ignore[arg-type]


def test_changed_source_is_counted_anew(small: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table([small], folder=tmp_path)
    monkeypatch.setattr(table_module, "_sources_digest", lambda: "another")
    with pytest.raises(AssertionError, match="built again"):
        table([dataclasses.replace(small, build=_refuse)], folder=tmp_path)


def test_kept_counts_are_made_again_on_request(small: ZooEntry, tmp_path: Path) -> None:
    table([small], folder=tmp_path)
    with pytest.raises(AssertionError, match="built again"):
        table([dataclasses.replace(small, build=_refuse)], folder=tmp_path, again=True)


@pytest.mark.parametrize("content", ["", '{"param_count": 1', "{}"])
def test_broken_kept_counts_are_made_again(small: ZooEntry, tmp_path: Path, content: str) -> None:
    (row,) = table([small], folder=tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(content)
    assert table([small], folder=tmp_path) == [row]
    assert json.loads(kept.read_text())["param_count"] == 213


def test_counts_are_kept_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "smallfleet" / "zoo"


def test_exported_file_is_gone_when_it_is_counted(
    small: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    count(small)
    assert list(tmp_path.iterdir()) == []


def test_update_costs_the_file_times_price_times_devices(small: ZooEntry) -> None:
    row = Row(small, Counts(1, 4, 0, 0, {}, size_bytes=2_500_000))
    assert row.update_cost(price_per_mb=0.4, devices=1000) == pytest.approx(1000)


def test_net_without_a_papers_size_has_no_ratio(small: ZooEntry) -> None:
    entry = dataclasses.replace(
        small, paper=Paper("Nobody", "section 1", "-", None), explanation="{mb:.1f} MB, {ratio}"
    )
    row = Row(entry, Counts(1, 4_000_000, 0, 0, {}, 4_000_000))
    assert (row.ratio, row.is_near) == (None, False)
    assert row.explanation == "4.0 MB, nan"
