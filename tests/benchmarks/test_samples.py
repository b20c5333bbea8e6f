"""Sample sets on disk."""

import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import SamplesUnreadable
from benchmarks.ports import Port
from benchmarks.samples import read_samples, write_samples

Array = np.ndarray[Any, Any]
X = (Port("x", "float32", (None, 6)),)


def test_same_arrays_give_the_same_bytes_at_any_time(tmp_path: Path, features: Array) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    write_samples(one, {"b": features, "a": features}, {"y": features[:, :2]}, np.arange(40))
    time.sleep(2.1)  # a zip's clock has steps of two seconds
    write_samples(two, {"a": features, "b": features}, {"y": features[:, :2]}, np.arange(40))

    assert one.read_bytes() == two.read_bytes()


def test_what_was_written_is_read_back(tmp_path: Path, features: Array) -> None:
    path = tmp_path / "set.npz"
    write_samples(path, {"x": features}, {"out/y": features[:, :2]}, np.arange(40, dtype=np.int32))
    samples = read_samples(path, X)

    assert samples.n == 40
    np.testing.assert_array_equal(samples.inputs["x"], features)
    np.testing.assert_array_equal(samples.goldens["out/y"], features[:, :2])
    assert samples.labels is not None
    assert samples.labels.dtype == np.int64


def test_sample_is_fed_with_a_batch_axis_exactly_where_the_model_has_one(tmp_path: Path, features: Array) -> None:
    path = tmp_path / "set.npz"
    ports = (*X, Port("state", "float32", (2, 1, 3)), Port("rate", "int64", ()))
    write_samples(path, {"x": features, "state": np.zeros((40, 2, 1, 3), np.float32), "rate": np.arange(40)}, {})
    feeds = read_samples(path, ports).feeds(3, ports)

    assert {name: array.shape for name, array in feeds.items()} == {"x": (1, 6), "state": (2, 1, 3), "rate": ()}
    assert feeds["rate"] == 3


def _npz(path: Path, **arrays: Array) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # names are any string
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input:x": np.zeros((4, 6)), "labels": np.zeros(3, np.int64)}, "same, non-zero first axis"),
        ({"input:x": np.zeros((0, 6))}, "same, non-zero first axis"),
        ({"input:x": np.zeros(())}, "same, non-zero first axis"),
        ({"input:y": np.zeros((4, 6))}, "no samples for input x"),
        ({"input:x": np.zeros((4, 6)), "labels": np.zeros(4)}, "labels must be integers"),
        ({"input:x": np.zeros((4, 6)), "labels": np.zeros((4, 1), np.int64)}, "labels must be integers"),
        ({"input:x": np.array([{"a": 1}], dtype=object)}, "without pickles"),
    ],
)
def test_sets_that_do_not_fit_together_are_refused(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(SamplesUnreadable, match=message):
        read_samples(_npz(tmp_path / "set.npz", **arrays), X)


@pytest.mark.parametrize("content", [b"", b"text", b'{"input:x": [1]}', b"PK\x03\x04", b"\x93NUMPY"])
def test_files_that_are_no_npz_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)

    with pytest.raises(SamplesUnreadable, match=r"set\.npz is not an npz of arrays"):
        read_samples(path, X)


def test_single_array_and_damaged_entry_are_refused(tmp_path: Path, features: Array) -> None:
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, features)
    damaged = tmp_path / "damaged.npz"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("input:x.npy", b"\x93NUMPY\x01\x00nonsense")

    for path in (single, damaged):
        with pytest.raises(SamplesUnreadable):
            read_samples(path, X)
