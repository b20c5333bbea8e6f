"""Points in one process: what is measured, what fails, what is given up, and the document of it all."""

import itertools
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import optuna
import pytest
import torch
from optuna.trial import TrialState
from torch import nn

from client.files import sha256_of
from compression.datasets import Samples, load_samples, write_samples_file
from compression.errors import DataUnusable, StudyUnusable
from compression.evaluation import predict_classes
from compression.steps.keys import whole
from compression.study import families
from compression.study.bench import bench_of
from compression.study.document import document_of, document_schema, knee_number
from compression.study.early import Curve
from compression.study.kept import packed, point_file, unpacked
from compression.study.points import Measured, Partial, PointHopeless, measure_point
from compression.study.report import report_text, write_report
from compression.study.spec import StudySpec, load_spec, parse_spec
from compression.study.storage import find_study, local_place, open_storage, open_study, points_of
from compression.study.worker import work
from compression.zoo.entry import NetShape

SPEC = """
schema = "smallfleet-study/1"
name = "probe"
[benchmark]
data = "small.npz"
held_out = 0.5
repeats = {repeats}
latency = "none"
{benchmark}
[[objective]]
metric = "accuracy"
[[objective]]
metric = "size_bytes"
[[budget]]
metric = "size_bytes"
at_most = 4_500
[space]
family = "probe"
[space.net]
hidden = {hidden}
[training]
epochs = {epochs}
batch = 32
shift_pixels = 0.0
[search]
sampler = "grid"
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A dense net that cannot be built with three hidden units."""

    hidden: int = whole(1, 1, 64, "hidden units")

    def build(self, shape: NetShape) -> nn.Module:
        if self.hidden == 3:
            raise ValueError("three is\n  one too many")
        pixels = shape.channels * shape.height * shape.width
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, self.hidden), nn.ReLU(), nn.Linear(self.hidden, shape.classes)
        )


@pytest.fixture(autouse=True)
def _probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setitem(families.FAMILIES, "probe", Probe)
    write_samples_file(tmp_path / "small.npz", load_samples("digits").first(240))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spec_of(
    tmp_path: Path, *, hidden: str = "[2, 3, 4, 20]", repeats: int = 1, epochs: int = 1, benchmark: str = ""
) -> StudySpec:
    text = SPEC.format(hidden=hidden, repeats=repeats, epochs=epochs, benchmark=benchmark)
    text = text.replace('family = "probe"', 'family = "convnet"').replace("hidden =", "first =")
    spec = parse_spec(text, folder=tmp_path)
    # Its choice of families was written when the module was read.
    space = replace(spec.space, family="probe", parameters={"hidden": spec.space.parameters["first"]})
    return replace(spec, space=space)


def run_here(spec: StudySpec, out: Path) -> optuna.Study:
    storage = open_storage(local_place(out))
    work(spec, storage, bench_of(spec), out)
    return find_study(spec.name, storage)


def test_study_keeps_what_failed_and_what_was_given_up_and_goes_on(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    study = run_here(spec, tmp_path)
    document = document_of(spec, study)
    jsonschema.validate(document, document_schema())
    two, three, four, twenty = document["points"]
    assert [point["state"] for point in document["points"]] == ["complete", "failed", "complete", "pruned"]
    assert three["failure"] == "ValueError: three is one too many"
    assert twenty["failure"].startswith("over budget before any training: size_bytes at most 4,500, it has ")
    assert (three["sha256"], twenty["metrics"]["accuracy"], twenty["nets"]) == (None, None, [])
    for point in (two, four):
        kept = point_file(tmp_path, point["number"])
        metrics = point["metrics"]
        assert (point["sha256"], metrics["size_bytes"]) == (sha256_of(kept), kept.stat().st_size)
        assert metrics["accuracy"] == predict_classes(kept, bench_of(spec).parts[0][1]).accuracy
        assert metrics["accuracy_ci95"][0] <= metrics["accuracy"] <= metrics["accuracy_ci95"][1]
        assert metrics["param_count"] == 65 * point["parameters"]["hidden"] + 10 * point["parameters"]["hidden"] + 10
        assert set(point["reasons"]) == {"delta_bytes", "latency_p50_ns", "energy_j"}
        assert point["within_budgets"]
    assert two["on_front"]
    written = write_report(spec, document, tmp_path / "report")
    assert json.loads(written[0].read_text()) == document
    before = [file.read_bytes() for file in written]
    assert [file.read_bytes() for file in write_report(spec, document, tmp_path / "report")] == before
    assert [file.name for file in written] == ["study.json", "pareto-size_bytes.svg", "saturation-hidden.svg"]
    text = report_text(spec, document)
    assert "hidden: not tested: needs 3 blocks (seeds or folds), there are 1\n" in text
    assert "2 complete, 1 pruned, 1 failed of 4 points" in text
    assert "failed: point 1 (hidden 3): ValueError: three is one too many" in text


def test_same_point_gives_the_same_bytes_and_other_seeds_others(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, repeats=2)
    bench = bench_of(spec)
    digests = []
    for name in ("a", "b"):
        found = measure_point(spec, bench, 0, {"hidden": 4}, keep=tmp_path / name, finished=list)
        digests.append(found.partial.sha256)
    other = measure_point(
        replace(spec, seed=1), bench, 0, {"hidden": 4}, keep=tmp_path / "c", finished=list
    ).partial.sha256
    assert digests[0] == digests[1] != other
    first, second = found.partial.nets
    assert (first.repeat, second.repeat) == (0, 1)
    assert first.right != second.right


def test_point_that_was_begun_goes_on_with_the_nets_that_are_missing(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, repeats=3)
    bench, keep = bench_of(spec), tmp_path / "kept.onnx"
    notes: list[Partial] = []

    def measure(begun: Partial | None) -> Measured:
        return measure_point(spec, bench, 0, {"hidden": 4}, keep=keep, finished=list, begun=begun, note=notes.append)

    whole = measure(None)
    assert [len(partial.nets) for partial in notes] == [1, 2, 3]
    begun, _, _ = notes
    marked = replace(begun, nets=(replace(begun.nets[0], seconds=1e6),))
    resumed = measure(marked)
    assert resumed.partial.nets[0].seconds == 1e6
    assert [net.right for net in resumed.partial.nets] == [net.right for net in whole.partial.nets]
    keep.write_bytes(b"another file")
    assert measure(marked).partial.nets[0].seconds < 1e6
    assert sha256_of(keep) == whole.partial.sha256


def test_folds_measure_every_sample_once_and_a_base_gives_a_delta(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    bench = bench_of(spec)
    measure_point(spec, bench, 0, {"hidden": 4}, keep=tmp_path / "base.onnx", finished=list)
    folded = spec_of(tmp_path, benchmark='folds = 3\nbase = "base.onnx"')
    bench = bench_of(folded)
    found = measure_point(folded, bench, 0, {"hidden": 4}, keep=tmp_path / "new.onnx", finished=list)
    assert sum(len(net.right) for net in found.partial.nets) == len(bench.samples) == bench.different
    delta, size = found.metrics["delta_bytes"], found.metrics["size_bytes"]
    assert delta is not None
    assert size is not None
    assert 0 < delta < size


def test_point_far_behind_a_cheaper_one_is_given_up_at_equal_epochs(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, epochs=5)
    rule = parse_spec(
        load_spec("smallest-digits").document.replace("after = 4", "after = 2"), folder=tmp_path
    ).early_stop
    spec = replace(spec, early_stop=rule)
    ahead = Curve(7, {"size_bytes": 10.0}, {}, (0.2, 1.5, 1.5, 1.5, 1.5))
    keep = tmp_path / "kept.onnx"
    with pytest.raises(PointHopeless, match=r"after 2 epochs 0\.\d+ right where point 7") as given_up:
        measure_point(spec, bench_of(spec), 0, {"hidden": 4}, keep=keep, finished=lambda: [ahead])
    assert len(given_up.value.curve.accuracies) == 2
    assert not keep.exists()


def test_objective_that_cannot_be_measured_fails_the_point_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.errors import ChildCrashed
    from compression.study import points

    def crash(*_: object, **__: object) -> dict[str, Any]:
        raise ChildCrashed("no such luck")

    monkeypatch.setattr(points, "run_benchmark", crash)
    spec = spec_of(tmp_path, hidden="[2, 4]", benchmark="")
    timed = replace(spec.benchmark, latency="smoke")
    objective = replace(spec.objectives[1], metric="latency_p50_ns")
    spec = replace(spec, benchmark=timed, objectives=(spec.objectives[0], objective))
    failures = [trial.user_attrs["failure"] for trial in points_of(run_here(spec, tmp_path)).values()]
    assert failures == ["latency_p50_ns is an objective and is not known: the ruler failed: no such luck"] * 2


def test_invalid_report_is_asked_for_again_and_then_gives_no_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compression.study import points

    flag = {"id": "cpu_share", "ok": False, "severity": "invalid", "value": 0.4, "limit": 0.95}
    reports = itertools.repeat({"validity": {"state": "invalid", "flags": [flag]}, "reasons": {}})
    asked = []

    def measure(*_: object, **__: object) -> dict[str, Any]:
        asked.append(1)
        return next(reports)

    monkeypatch.setattr(points, "run_benchmark", measure)
    spec = spec_of(tmp_path)
    spec = replace(spec, benchmark=replace(spec.benchmark, latency="smoke", latency_tries=3))
    found = measure_point(spec, bench_of(spec), 0, {"hidden": 4}, keep=tmp_path / "kept.onnx", finished=list)
    assert (len(asked), found.metrics["latency_p50_ns"]) == (3, None)
    assert found.reasons["latency_p50_ns"] == "the ruler's report is invalid: cpu_share"


def test_point_that_was_given_up_for_lost_meanwhile_is_left_to_whoever_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compression.study import worker

    spec = spec_of(tmp_path, hidden="[2, 4]")
    numbers: list[int] = []

    def slow(spec: StudySpec, bench: Any, number: int, *rest: Any, **more: Any) -> Any:
        numbers.append(number)
        if len(numbers) == 1:
            elsewhere = find_study(spec.name, open_storage(local_place(tmp_path)))
            lost = points_of(elsewhere)[number]
            elsewhere.tell(lost.number, state=TrialState.FAIL)
            elsewhere.enqueue_trial(lost.params, user_attrs={"point": number})
        return measure_point(spec, bench, number, *rest, **more)

    monkeypatch.setattr(worker, "measure_point", slow)
    study = run_here(spec, tmp_path)
    assert numbers == [0, 1, 0]
    assert [trial.state for trial in points_of(study).values()] == [TrialState.COMPLETE] * 2


def test_another_spec_or_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = open_storage(local_place(tmp_path))
    open_study(spec, storage, dataset_sha256="0" * 64, base_sha256=None)
    with pytest.raises(StudyUnusable, match="'probe' was begun with another data"):
        open_study(spec, storage, dataset_sha256="1" * 64, base_sha256=None)
    with pytest.raises(StudyUnusable, match="'probe' was begun with another spec"):
        open_study(spec_of(tmp_path, epochs=2), storage, dataset_sha256="0" * 64, base_sha256=None)
    grown = replace(spec, budgets=())
    assert len(points_of(open_study(grown, storage, dataset_sha256="0" * 64, base_sha256=None))) == 4
    with pytest.raises(StudyUnusable, match="no study 'none'"):
        find_study("none", storage)
    with pytest.raises(StudyUnusable, match="no finished point"):
        document_of(spec, find_study("probe", storage))


def test_data_that_are_no_labelled_images_are_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    digits = load_samples("digits").first(40)
    for wrong, said in ((digits.classes - 5, "-5 to 4"), (digits.classes * 0, "0 to 0")):
        write_samples_file(tmp_path / "small.npz", Samples(digits.inputs, wrong))
        with pytest.raises(DataUnusable, match=f"small.npz: labels are 0 and up, of two classes or more, not {said}"):
            bench_of(spec)
    write_samples_file(tmp_path / "small.npz", digits)
    with pytest.raises(DataUnusable, match=r"small.npz: 20 samples to train on are fewer than training.batch = 32"):
        bench_of(spec)
    with pytest.raises(DataUnusable, match="neither a file nor a named set"):
        bench_of(replace(spec, benchmark=replace(spec.benchmark, data="none.npz")))


def test_answers_survive_being_written() -> None:
    right = [True, False, True, True, False, False, False, True, True, True]
    assert unpacked(packed(right), len(right)).tolist() == right


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_search_draws_the_same_points_after_an_interruption(tmp_path: Path, sampler: str) -> None:
    from compression.study.storage import draw, sampler_for

    text = load_spec("smallest-digits").document.replace('sampler = "tpe"', f'sampler = "{sampler}"')
    spec = parse_spec(text.replace("points = 30", "points = 4"), folder=tmp_path)

    def drawn(folder: Path, *, interrupted: bool) -> list[dict[str, Any]]:
        found = []
        storage = open_storage(local_place(folder))
        for number in range(4):
            if interrupted:
                storage = open_storage(local_place(folder))
            study = open_study(spec, storage, dataset_sha256="0" * 64, base_sha256=None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = study.ask()
            assert trial.user_attrs["point"] == number
            study.sampler = sampler_for(spec, number)
            found.append(dict(draw(trial, spec)))
            study.tell(trial, [0.9, 1000.0])
        return found

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    points = drawn(tmp_path / "a", interrupted=False)
    assert points == drawn(tmp_path / "b", interrupted=True)
    assert len({json.dumps(point) for point in points}) == 4


def test_knee_of_a_document_is_a_point_of_its_front(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    points = [
        {"number": 5, "on_front": False, "metrics": {"accuracy": 1.0, "size_bytes": 1}},
        {"number": 8, "on_front": True, "metrics": {"accuracy": 0.9, "size_bytes": 100}},
    ]
    assert knee_number(spec, {"points": points}) == 8
    assert knee_number(spec, {"points": points[:1]}) is None
