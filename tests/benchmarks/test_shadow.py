"""A candidate beside the model in service: what is compared, on which inputs, and what a hostile folder does to it."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.comparing import LEAST_CPU_SHARE, _Times
from benchmarks.errors import ChildCrashed, MemoryExceeded, ModelUnloadable
from benchmarks.ports import Port
from benchmarks.recent_inputs import MAX_BYTES, read_recent
from benchmarks.shadow import Comparison, compare_models

FEATURES, CLASSES = 64, 32
IMAGE = (Port("image", "float32", (None, FEATURES)),)


def linear(
    path: Path, seed: int = 1, *, step: float = 0.0, layers: int = 1, classes: int = CLASSES, bias: float = 0.0
) -> Path:
    """A classifier; `layers` makes it slower, `bias` may make it answer NaN."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((FEATURES, classes)).astype(np.float32)
    weights += np.float32(step) * np.random.default_rng(seed + 1).standard_normal(weights.shape).astype(np.float32)
    wide = np.eye(FEATURES, dtype=np.float32)
    nodes = [helper.make_node("MatMul", [f"x{i}", "wide"], [f"x{i + 1}"]) for i in range(1, layers)]
    nodes.insert(0, helper.make_node("Identity", ["image"], ["x1"]))
    nodes += [
        helper.make_node("MatMul", [f"x{layers}", "w"], ["wx"]),
        helper.make_node("Add", ["wx", "b"], ["scores"]),
    ]
    constants = {"w": weights, "wide": wide, "b": np.full(classes, bias, np.float32)}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def samples(path: Path, n: int = 12, features: int = FEATURES) -> Path:
    inputs = np.random.default_rng(5).standard_normal((n, features)).astype(np.float32)
    np.savez(path, **{"input:image": inputs, "golden:scores": np.zeros((n, CLASSES), np.float32)})  # type: ignore[arg-type]
    return path


def offer(folder: Path, n: int, *, shape: tuple[int, ...] = (1, FEATURES), **arrays: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(7)
    for index in range(n):
        given = arrays or {"image": generator.standard_normal(shape).astype(np.float32)}
        np.savez(folder / f"{len(list(folder.iterdir())):04d}-{index}.npz", **given)  # type: ignore[arg-type]


def compare(
    candidate: Path, current: Path | None, samples: Path | None = None, recent: Path | None = None, **changes: int
) -> Comparison:
    settings = {"min_samples": 8, "max_samples": 64, "memory_limit_bytes": 1 << 30} | changes
    return compare_models(candidate, current, samples=samples, recent=recent, timeout_s=60, **settings)


def test_models_that_answer_alike_agree(tmp_path: Path) -> None:
    found = compare(
        linear(tmp_path / "new.onnx", step=1e-5), linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz")
    )
    assert (found.source, found.samples, found.disagreement, found.why_not) == ("sample-set", 12, 0.0, None)
    assert 0 < (found.mean_abs_error or 0) <= (found.max_abs_error or 0) < 1e-3
    assert found.latency_ratio is not None


def test_models_that_answer_otherwise_disagree(tmp_path: Path) -> None:
    found = compare(linear(tmp_path / "new.onnx", seed=3), linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))
    assert (found.disagreement or 0) > 0.5
    assert (found.max_abs_error or 0) > 1


def test_slower_candidate_shows_in_the_ratio(tmp_path: Path) -> None:
    """A thousand times the work: no scheduling hides that."""
    found = compare(
        linear(tmp_path / "new.onnx", layers=1000), linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz")
    )
    assert (found.latency_ratio or 0) > 5
    assert found.latency_ns is not None
    assert found.memory_bytes is not None


def test_recent_inputs_are_preferred_where_there_are_enough(tmp_path: Path) -> None:
    new, old, sample_set = (
        linear(tmp_path / "new.onnx"),
        linear(tmp_path / "old.onnx"),
        samples(tmp_path / "s.npz", n=9),
    )
    recent = tmp_path / "recent"
    offer(recent, 7)
    assert compare(new, old, sample_set, recent).source == "sample-set"
    few = compare(new, old, None, recent)
    assert (few.source, few.samples) == ("recent-inputs", 7)
    offer(recent, 5)
    enough = compare(new, old, sample_set, recent, max_samples=10)
    assert (enough.source, enough.samples) == ("recent-inputs", 10)


def test_no_inputs_at_all_still_give_the_times(tmp_path: Path) -> None:
    found = compare(linear(tmp_path / "new.onnx"), linear(tmp_path / "old.onnx"), None, tmp_path / "not-there")
    assert (found.samples, found.disagreement, found.max_abs_error) == (0, None, None)
    assert found.latency_ratio is not None


def test_candidate_without_a_model_in_service_is_measured_alone(tmp_path: Path) -> None:
    found = compare(linear(tmp_path / "new.onnx"), None, samples(tmp_path / "s.npz"))
    assert (found.why_not, found.latency_ratio, found.disagreement) == ("no-current", None, None)
    assert found.latency_ns is not None


def test_other_number_of_classes_is_no_disagreement(tmp_path: Path) -> None:
    new = linear(tmp_path / "new.onnx", classes=CLASSES + 1)
    found = compare(new, linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))
    assert (found.why_not, found.samples, found.disagreement, found.latency_ratio) == ("other-ports", 0, None, None)


def test_rotten_model_in_service_does_not_speak_against_the_candidate(tmp_path: Path) -> None:
    rotten = tmp_path / "old.onnx"
    rotten.write_bytes(b"rotten")
    found = compare(linear(tmp_path / "new.onnx"), rotten, samples(tmp_path / "s.npz"))
    assert (found.why_not, found.disagreement) == ("current-unloadable", None)


def test_candidate_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    rotten = tmp_path / "new.onnx"
    rotten.write_bytes(b"rotten")
    with pytest.raises(ModelUnloadable):
        compare(rotten, linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))


def test_nan_where_there_was_a_number_is_counted(tmp_path: Path) -> None:
    new = linear(tmp_path / "new.onnx", bias=float("nan"))
    found = compare(new, linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))
    assert found.newly_not_finite == 12


def too_hungry(path: Path) -> Path:
    """Loads in no time, needs 1.6 GB for one inference."""
    graph = helper.make_graph(
        [
            helper.make_node("Expand", ["image", "shape"], ["large"]),
            helper.make_node("ReduceMax", ["large"], ["scores"], axes=[0, 1], keepdims=0),
        ],
        "hungry",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [FEATURES])],
        [numpy_helper.from_array(np.array([50_000, 128, FEATURES], np.int64), "shape")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_model_in_service_that_takes_the_child_down_does_not_speak_against_the_candidate(tmp_path: Path) -> None:
    found = compare(linear(tmp_path / "new.onnx"), too_hungry(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))
    assert (found.why_not, found.latency_ratio) == ("current-failed", None)
    assert found.latency_ns is not None


def heavy(path: Path, value: float) -> Path:
    """Small as a file, 200 MB once it is loaded: the runtime computes the constant then."""
    weights = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["w"], value=weights),
            helper.make_node("MatMul", ["image", "w"], ["wide"]),
            helper.make_node("ReduceMax", ["wide"], ["best"], axes=[1], keepdims=1),
            helper.make_node("Concat", ["best", "image"], ["scores"], axis=1),
        ],
        "heavy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", FEATURES + 1])],
        [numpy_helper.from_array(np.array([FEATURES, 800_000], np.int64), "shape")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_two_models_that_do_not_fit_together_run_one_after_the_other(tmp_path: Path) -> None:
    new, old = heavy(tmp_path / "new.onnx", 0.5), heavy(tmp_path / "old.onnx", 0.25)
    found = compare(new, old, samples(tmp_path / "s.npz", n=2), memory_limit_bytes=560 << 20)
    assert found.why_not == "one-after-the-other"
    assert (found.samples, found.latency_ratio) == (2, None)
    assert found.max_abs_error is not None
    assert found.memory_bytes is not None
    assert found.memory_bytes > 200e6


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "no zip": b"PK\x03\x04" + os.urandom(300),
    "text": b"nothing of the kind" * 10,
}


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array: np.ndarray, *, shape: str | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    content = buffer.getvalue()
    return content if shape is None else content.replace(repr(array.shape).encode(), shape.encode())


ROW = np.zeros((1, FEATURES), np.float32)
GARBAGE |= {
    "no array": npz(image=b"x" * 100),
    "other input": npz(sound=npy(ROW)),
    "other type": npz(image=npy(ROW.astype(np.float64))),
    "other shape": npz(image=npy(np.zeros((1, 3), np.float32))),
    "no rows": npz(image=npy(np.zeros((0, FEATURES), np.float32))),
    "pickle": npz(image=npy(np.array([[print] * FEATURES], dtype=object))),
    "claims a huge array": npz(image=npy(ROW, shape="(9999999999999, 64)")),
    "cut off": npz(image=npy(ROW))[:-40],
    "decompression bomb": npz(image=npy(np.zeros((MAX_BYTES // 256 + 1, FEATURES), np.float32))),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_file_that_holds_no_input_is_skipped_and_counted(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.npz").write_bytes(GARBAGE[kind])
    offer(tmp_path, 1)
    found = read_recent(tmp_path, IMAGE, most=10)
    assert (len(found.feeds), found.skipped) == (1, 1)


def test_folder_with_odd_members_is_read_without_waiting_or_following(tmp_path: Path) -> None:
    secret = tmp_path / "secret.npz"
    np.savez(secret, image=ROW)
    folder = tmp_path / "recent"
    offer(folder, 2)
    os.mkfifo(folder / "pipe.npz")
    (folder / "folder.npz").mkdir()
    (folder / "link.npz").symlink_to(secret)
    (folder / ".being-written.npz").write_bytes(b"half")
    (folder / "notes.txt").write_bytes(b"not offered")
    found = read_recent(folder, IMAGE, most=10)
    assert (len(found.feeds), found.skipped) == (2, 3)


def test_newest_inputs_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    for age_s in range(6):
        offer(tmp_path, 1, image=np.full((1, FEATURES), age_s, np.float32))
        newest = max(tmp_path.iterdir(), key=lambda path: path.name)
        os.utime(newest, (1e9 - age_s, 1e9 - age_s))
    found = read_recent(tmp_path, IMAGE, most=4)
    assert [float(feeds["image"][0, 0]) for feeds in found.feeds] == [0, 1, 2, 3]


def test_all_bytes_together_are_capped(tmp_path: Path) -> None:
    offer(tmp_path, 5, shape=(MAX_BYTES // 256 // 3 + 1, FEATURES))
    found = read_recent(tmp_path, IMAGE, most=10)
    assert (len(found.feeds), found.skipped) == (2, 3)


def test_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_recent(tmp_path / "none", IMAGE, most=10).feeds == []


def test_input_that_the_model_in_service_refuses_speaks_against_nobody(tmp_path: Path) -> None:
    """The declared width is open, the weights are not: only an inference shows that an input does not fit."""
    new, old = linear(tmp_path / "new.onnx"), linear(tmp_path / "old.onnx")
    for path in (new, old):
        model = onnx.load(path)
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "W"
        onnx.save(model, path)
    offer(tmp_path / "recent", 9)
    offer(tmp_path / "recent", 2, shape=(1, 3))
    found = compare(new, old, None, tmp_path / "recent")
    assert (found.refused, found.samples, found.skipped) == (None, 9, 2)


def test_time_that_others_took_is_not_held_against_the_candidate() -> None:
    busy = _Times(wall_ns=[300, 300], cpu_ns=[100, 100])
    quiet = _Times(wall_ns=[100, 100], cpu_ns=[100, 100])
    assert (busy.had_the_cpu, quiet.had_the_cpu) == (False, True)
    assert busy.median_ns(of_cpu=True) == quiet.median_ns(of_cpu=True)
    assert _Times(wall_ns=[100], cpu_ns=[int(100 * LEAST_CPU_SHARE)]).had_the_cpu


def test_child_that_dies_of_the_candidate_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((MemoryExceeded, ChildCrashed)):
        compare(too_hungry(tmp_path / "new.onnx"), linear(tmp_path / "old.onnx"), samples(tmp_path / "s.npz"))
