"""Deep Compression's table: parts add up, figures follow from files, a page keeps what is around its tables, a cut run goes on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.deep_compression import table
from benchmarks.peers.deep_compression.parts import Parts, Weights, parts_of, weights_of
from benchmarks.peers.deep_compression.plans import SHORT
from benchmarks.peers.deep_compression.results import Point, Results, Small
from benchmarks.peers.deep_compression.workshop import Made, Measured, TimeIsUp, Workshop
from compression.datasets import Samples
from compression.rate import packed_bytes

LABELS = (0, 1) * 50


def _file(path: Path, weights: np.ndarray[Any, np.dtype[np.float32]]) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_parts_of_a_packed_file_add_up_to_its_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    values = np.where(generator.random((64, 64)) < 0.1, generator.choice([-0.5, 0.5], (64, 64)), 0)
    path = _file(tmp_path / "shared.onnx", values.astype(np.float32))
    parts = parts_of(path)
    assert parts.total == packed_bytes(path)
    assert min(parts.header, parts.table, parts.text, parts.indices) > 0
    weights = weights_of(path)
    kept = int((values != 0).sum())
    assert (weights.count, weights.kept) == (64 * 64, kept)
    assert weights.value_bits == pytest.approx(1.0, abs=0.02)
    share = kept / values.size
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert weights.index_bits == pytest.approx(entropy / share)
    assert weights.entropy_bytes == pytest.approx((entropy * values.size + kept) / 8 + 8, rel=0.02)


def test_weights_of_a_dense_file_have_all_their_bits(tmp_path: Path) -> None:
    weights = weights_of(
        _file(tmp_path / "dense.onnx", np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32))
    )
    assert (weights.kept, weights.value_bits, weights.index_bits) == (64, 32.0, 0.0)


def _measured(packed: int, wrong: int, *, plain: int = 4_000_000) -> Measured:
    classes = tuple(1 - label if place < wrong else label for place, label in enumerate(LABELS))
    return Measured(
        Made(Path("net.onnx"), 90.0, {}),
        plain,
        Parts(100, 0, 0, packed - 100, 0),
        Weights(1000, 100, 5.0, 3.0, 99.0),
        classes,
        1 - wrong / len(LABELS),
        (0.9, 1.0),
    )


def _results(*points: tuple[int, int]) -> Results:
    made = [Point(0.9, *[_measured(packed, wrong)] * 3) for packed, wrong in points]
    small = [Small("fp32", 4, _measured(100_000, 9)), Small("shared", 8, _measured(100_000, 0))]
    return Results(SHORT, _measured(3_600_000, 2), _measured(900_000, 1), made, LABELS, small)


def test_chosen_is_the_smallest_that_loses_no_accuracy() -> None:
    results = _results((200_000, 0), (100_000, 3), (50_000, 30))
    assert results.chosen.compact.parts.total == 100_000
    assert results.reach(results.chosen.compact) == 40.0
    assert not results.holds(results.points[2].compact)
    assert _results((200_000, 40), (100_000, 30)).chosen.compact.parts.total == 100_000


def test_table_says_what_was_reached_and_which_net_is_better() -> None:
    text = "\n".join(table.lines(_results((100_000, 3))))
    assert "30 x with no accuracy lost: met (40 x" in text
    assert "float32, packs to 100,000 bytes and is worse: -6.00 points." in text
    assert "distilled, packs to 100,000 bytes and is better: +3.00 points." in text
    assert "**missed**" in "\n".join(table.lines(_results((100_000, 50))))


def test_page_keeps_what_is_around_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.SECTION.begin}\nold\n{table.SECTION.end}\nafter\n")
    for _ in range(2):
        table.write(page, _results((100_000, 3)))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| original |") == 1
    page.write_text("no markers")
    with pytest.raises(ValueError, match="no lines"):
        table.write(page, _results((100_000, 3)))


def test_committed_page_has_its_markers() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deep-compression.md").read_text(encoding="utf-8")
    assert table.SECTION.of(text)


def _writes(text: str, calls: list[str]) -> Callable[[Path], Mapping[str, Any]]:
    def make(path: Path) -> dict[str, Any]:
        calls.append(text)
        path.write_text(text)
        return {"said": text}

    return make


def test_run_that_was_cut_off_goes_on_and_makes_again_only_what_changed(tmp_path: Path) -> None:
    samples = Samples({"image": np.zeros((2, 1), np.float32)}, np.zeros(2, np.int64))
    workshop = Workshop(tmp_path, samples, samples, seed=1)
    calls: list[str] = []
    first = workshop.make("first", {"epochs": 1}, _writes("one", calls))
    second = workshop.make("second", {}, _writes("two", calls), before=first)
    assert second.cpu_s >= first.cpu_s
    late = Workshop(tmp_path, samples, samples, seed=1, seconds=-1)
    assert late.make("first", {"epochs": 1}, _writes("again", calls)).facts == {"said": "one"}
    with pytest.raises(TimeIsUp, match="first"):
        late.make("first", {"epochs": 2}, _writes("other", calls))
    first.path.write_text("changed")
    workshop.make("second", {}, _writes("three", calls), before=replace(first))
    assert calls == ["one", "two", "three"]
