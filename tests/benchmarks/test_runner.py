"""Whole benchmarks of real models in real children: the report, and every way a run can end without one."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks import runner
from benchmarks.configurations import CANONICAL, DEVICE_DEFAULT
from benchmarks.errors import (
    BenchmarkError,
    ChildCrashed,
    ChildTimedOut,
    InferenceFailed,
    ModelUnloadable,
    ProviderUnavailable,
    ReportInvalid,
    RequestInvalid,
)
from benchmarks.histogram import merge, quantile, samples_in
from benchmarks.report import null_pointers
from benchmarks.runner import longest_s, run_benchmark
from benchmarks.samples import write_samples
from benchmarks.schema import report_schema, validate
from benchmarks.static_cost import count_static_cost

Array = np.ndarray[Any, Any]
Report = dict[str, Any]
MakeModel = Callable[..., onnx.ModelProto]


RULES = {
    *("n_p90", "n_p99", "cpu_share", "min_duration", "drift", "stability", "cv", "throttle", "provider"),
    *("undervolt", "run_delay", "psi", "frequency", "power_source", "energy_cover", "replicate", "replicate_cv"),
}


@pytest.fixture(scope="module")
def bare(classifier: Path) -> Report:
    """A report of the model alone."""
    return run_benchmark(classifier, tier="smoke", timeout_s=60)


@pytest.fixture(scope="module")
def full(
    classifier: Path, features: Array, classifier_weights: Array, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """A report with everything a caller can give."""
    path = tmp_path_factory.mktemp("samples") / "set.npz"
    scores = features @ classifier_weights
    write_samples(path, {"x": features}, {"scores": scores}, scores.argmax(axis=1))
    return run_benchmark(
        classifier,
        tier="smoke",
        samples=path,
        processes=3,
        timeout_s=60,
        watts=3.0,
        artifact={**count_static_cost(classifier).as_artifact(), "variant_of_sha256": "ab" * 32},
        device_class="test-board",
    )


@pytest.fixture(params=["bare", "full"])
def report(request: pytest.FixtureRequest) -> Report:
    found: Report = json.loads(json.dumps(request.getfixturevalue(request.param)))
    return found


def test_real_report_follows_the_schema(report: Report) -> None:
    validate(report)


def test_every_null_of_a_real_report_has_its_reason(report: Report) -> None:
    assert null_pointers(report) == set(report["reasons"])
    assert all(report["reasons"].values())


def test_report_with_everything_is_small_enough_for_a_costly_link(make_model: MakeModel, tmp_path: Path) -> None:
    """Of a net of a millisecond: of one of microseconds a run does a million, and their sketch takes some hundred bytes more."""
    random = np.random.default_rng(3)
    net = make_model(
        [
            helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["scores"]),
        ],
        inputs={"x": (1, ["N", 64, 28, 28])},
        outputs={"scores": (1, ["N", 64])},
        weights={"k": random.standard_normal((64, 64, 3, 3), dtype=np.float32)},
    )
    model, samples = tmp_path / "net.onnx", tmp_path / "set.npz"
    onnx.save(net, model)
    images, labels = random.standard_normal((6, 64, 28, 28), dtype=np.float32), np.arange(6)
    write_samples(samples, {"x": images}, {"scores": np.eye(64, dtype=np.float32)[labels]}, labels)

    report = run_benchmark(
        model,
        tier="smoke",
        samples=samples,
        processes=3,
        timeout_s=60,
        watts=3.0,
        artifact={**count_static_cost(model).as_artifact(), "variant_of_sha256": hashlib.sha256(b"base").hexdigest()},
        device_class="test-board",
    )

    assert report["accuracy"]["value"] is not None
    assert report["artifact"]["static"]["macs"]
    assert len(gzip.compress(json.dumps(report, separators=(",", ":")).encode())) <= 3000


def test_report_says_what_was_measured(report: Report, classifier: Path) -> None:
    assert report["schema"] == "bench-report/1"
    assert report["artifact"]["bytes"] == classifier.stat().st_size
    assert report["runtime"]["name"] == "onnxruntime"
    assert report["runtime"]["nodes_per_provider"] == {"CPUExecutionProvider": 1}
    assert report["environment"]["affinity"] == [max(os.sched_getaffinity(0))]
    assert report["workload"]["input_shapes"] == {"x": [1, 6]}


def test_canonical_configuration_is_one_pinned_thread_that_does_not_spin(report: Report) -> None:
    runtime = report["runtime"]

    assert (runtime["configuration"], runtime["intra_op"], runtime["threads"]) == ("canonical", 1, 1)
    assert (runtime["pinned"], runtime["spinning"]) == (True, False)


def test_device_default_leaves_threads_affinity_and_spinning_to_the_runtime(classifier: Path) -> None:
    report = run_benchmark(classifier, tier="smoke", configuration=DEVICE_DEFAULT, timeout_s=60)
    runtime = report["runtime"]

    validate(report)
    assert (runtime["configuration"], runtime["intra_op"], runtime["pinned"]) == ("device-default", 0, False)
    assert runtime["threads"] >= 1
    assert runtime["spinning"] is True
    assert report["environment"]["affinity"] == sorted(os.sched_getaffinity(0))


def test_nodes_that_fell_back_to_the_cpu_make_the_report_invalid(classifier: Path) -> None:
    """The Azure provider is in every build and takes no node of an ordinary model."""
    wanted = ("AzureExecutionProvider", "CPUExecutionProvider")
    report = run_benchmark(classifier, tier="smoke", providers=wanted, timeout_s=60)
    failed = [flag["id"] for flag in report["validity"]["flags"] if flag["ok"] is False]

    assert report["runtime"]["providers_requested"] == list(wanted)
    assert report["runtime"]["nodes_per_provider"] == {"CPUExecutionProvider": 1}
    assert report["validity"]["state"] == "invalid"
    assert "provider" in failed


def test_provider_that_this_runtime_has_not_is_named(classifier: Path) -> None:
    with pytest.raises(ProviderUnavailable, match=r"no TensorrtExecutionProvider; .* has .*CPUExecutionProvider"):
        run_benchmark(classifier, tier="smoke", providers=["TensorrtExecutionProvider"], timeout_s=60)


def test_distribution_is_in_order_and_adds_up(report: Report) -> None:
    latency = report["latency"]
    order = [latency[key] for key in ("min", "p50", "p90", "p95", "p99", "max")]

    assert order == sorted(order)
    assert latency["p90"] <= latency["p90_upper99"] <= latency["max"]
    assert latency["p50_ci95"][0] <= latency["p50"] <= latency["p50_ci95"][1]
    assert latency["n"] == report["workload"]["n"]
    assert samples_in(latency["hist"]) == report["replication"]["n"]
    assert sum(report["steady_state"]["windows"]["n"]) == latency["n"]


def test_headline_is_the_median_process_and_its_figures_belong_together(full: Report) -> None:
    replication = full["replication"]
    medians = replication["p50_ns"]

    assert replication["processes"] == len(medians) == 3
    assert full["latency"]["p50"] == replication["p50_median_ns"] == sorted(medians)[1]
    assert medians[replication["body"]] == full["latency"]["p50"]
    assert replication["p50_ci95"][0] <= sum(medians) / 3 <= replication["p50_ci95"][1]
    assert replication["n"] > full["latency"]["n"]
    assert full["duration_s"] > 3


def test_single_process_has_no_interval_and_is_no_headline(bare: Report) -> None:
    replication, flags = bare["replication"], {flag["id"]: flag["ok"] for flag in bare["validity"]["flags"]}

    assert (replication["processes"], replication["p50_ci95"], replication["p50_cv"]) == (1, None, None)
    assert flags["replicate"] is False


def test_peak_of_activations_comes_from_a_run_of_its_own(report: Report) -> None:
    """The allocator hands out pieces of at least 256 bytes: for the input (24 bytes) and the scores (16)."""
    assert 0 < report["memory"]["runtime_peak_activation"] < 100_000


def test_cold_start_says_whether_the_file_was_in_memory(full: Report) -> None:
    """The test has just written it, and each process has read it before the next."""
    assert full["cold_start"]["page_cache"] == "warm"
    assert full["replication"]["page_cache"] == ["warm"] * 3


def test_pressure_on_this_machine_is_a_share(report: Report) -> None:
    """The kernels that tests run on have pressure stall information (since 4.20)."""
    assert 0 <= report["contention"]["psi_some_share"] <= 1.01
    assert 0 <= report["contention"]["run_delay_share"] <= 1.01


def test_profile_that_cannot_be_written_costs_only_its_figure(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PROFILE_CAP_BYTES", 64)
    report = run_benchmark(classifier, tier="smoke", timeout_s=60)

    validate(report)
    assert report["memory"]["runtime_peak_activation"] is None
    assert "profile" in report["reasons"]["/memory/runtime_peak_activation"]


def test_memory_phases_belong_to_the_child_and_not_to_its_parent(report: Report) -> None:
    """The parent of this test has far more resident than a bare interpreter."""
    memory = report["memory"]

    assert memory["method"] == "VmHWM+clear_refs=5"
    assert memory["baseline_rss"] < 30_000_000
    assert memory["baseline_rss"] < memory["runtime_rss"] <= memory["load_peak"]
    assert 0 < memory["model_attributable_peak"] < memory["run_peak"]


def test_second_long_run_never_claims_to_be_valid(report: Report) -> None:
    validity = report["validity"]
    flags = {flag["id"]: flag for flag in validity["flags"]}

    assert validity["state"] in {"semivalid", "invalid"}
    assert flags["min_duration"] == {
        "id": "min_duration",
        "ok": False,
        "value": pytest.approx(report["workload"]["timed_s"]),
        "limit": 6.0,
        "severity": "semivalid",
    }
    assert set(flags) | set(validity["unjudged"]) >= RULES
    assert not set(flags) & set(validity["unjudged"])


def test_caller_without_facts_gets_nulls_and_no_zeros(bare: Report) -> None:
    assert bare["artifact"]["static"] is None
    assert bare["analytic"] is None
    assert bare["accuracy"] is None
    assert bare["environment"]["device_class"] is None
    assert bare["workload"]["input"] == "random:0"


def test_what_the_caller_gives_is_used(full: Report, classifier_weights: Array) -> None:
    assert full["artifact"]["static"]["macs"] == {"float32\u00d7float32": classifier_weights.size}
    assert full["artifact"]["variant_of_sha256"] == "ab" * 32
    assert full["analytic"]["e_mac_j"] == pytest.approx(24 * 4.6e-12)
    assert full["environment"]["device_class"] == "test-board"
    assert full["accuracy"]["value"] == full["accuracy"]["golden_agreement"] == 1.0
    assert full["accuracy"]["n"] == 40
    assert full["workload"]["inputs_in_cycle"] == 40
    assert full["workload"]["input"] == f"dataset:{full['accuracy']['dataset_sha256']}"


def test_energy_names_its_method_or_the_reason(bare: Report, full: Report) -> None:
    for report in (bare, full):
        assert (report["energy"] is None) == ("/energy" in report["reasons"])
    assert full["energy"]["method"] in set(report_schema()["properties"]["energy"]["properties"]["method"]["enum"])
    assert full["energy"]["j_per_inference_gross"] > 0
    assert full["energy"]["samples_ok"] == full["energy"]["samples_expected"]


def test_each_run_is_its_own(bare: Report, full: Report) -> None:
    assert bare["run_id"] != full["run_id"]
    assert bare["artifact"]["model_sha256"] == full["artifact"]["model_sha256"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda report: report.pop("latency"), "'latency' is a required property"),
        (lambda report: report.update(run_id="7"), "/run_id"),
        (lambda report: report["latency"].update(p50=-1), "/latency/p50"),
        (lambda report: report["latency"].update(p50=1.5), "/latency/p50"),
        (lambda report: report["artifact"].update(model_sha256="AB" * 32), "/artifact/model_sha256"),
        (lambda report: report["latency"].update(max=2**63), "/latency/max"),
        (lambda report: report["contention"].update(cpu_share=float("nan")), "/contention/cpu_share: nan"),
        (lambda report: report.update(note="a\0b"), "NUL"),
        (lambda report: report["validity"].update(state="fine"), "/validity/state"),
        (lambda report: report["latency"].update(p90=None), "null without a reason"),
        (lambda report: report["reasons"].update({"/latency/p50": "why not"}), "a reason without a null"),
        (lambda report: report.update(started_at="yesterday"), "/started_at"),
    ],
)
def test_report_that_breaks_a_rule_is_refused_with_the_place(
    bare: Report, change: Callable[[Report], Any], place: str
) -> None:
    broken: Report = json.loads(json.dumps(bare))
    change(broken)

    with pytest.raises(ReportInvalid, match=place):
        validate(broken)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: report["latency"]["hist"].update(counts=["x"] * 5000), "/latency/hist/counts: .* is too long"),
        (lambda report: report.update(reasons={str(n): 5 for n in range(300)}), "/reasons: .* too many properties"),
    ],
)
def test_report_with_too_much_is_refused_before_each_piece_is_looked_at(
    bare: Report, change: Callable[[Report], Any], said: str
) -> None:
    """Twenty thousand wrong reasons took more than a second of a server's time, and every one of them was wrong."""
    huge: Report = json.loads(json.dumps(bare))
    change(huge)

    with pytest.raises(ReportInvalid, match=said):
        validate(huge)


def test_count_that_is_written_as_a_fraction_is_refused(bare: Report) -> None:
    """To JSON Schema 1.0 is an integer, and no histogram can be counted from there on."""
    loose: Report = json.loads(json.dumps(bare))
    loose["latency"]["hist"]["first"] = 1.0

    with pytest.raises(ReportInvalid, match=r"/latency/hist/first: 1\.0 is not of type 'integer'"):
        validate(loose)


@pytest.mark.parametrize("nonsense", [None, [], "report", 3, {}])
def test_what_is_no_report_is_refused(nonsense: Any) -> None:
    with pytest.raises(ReportInvalid):
        validate(nonsense)


def test_report_of_an_earlier_ruler_is_still_taken(bare: Report) -> None:
    """Without the fields that came later, and with the histogram of its time."""
    early: Report = json.loads(json.dumps(bare))
    early["latency"]["hist"] = {"scheme": "log2x8/1", "first": 77, "counts": [1, 0, 5]}
    del early["replication"]
    for pointer in [pointer for pointer in early["reasons"] if pointer.startswith("/replication/")]:
        del early["reasons"][pointer]
    for field in ("configuration", "pinned", "threads"):
        del early["runtime"][field]

    validate(early)


def test_fields_of_a_later_ruler_are_ignored(bare: Report) -> None:
    validate({**bare, "colour": "blue", "latency": {**bare["latency"], "p97": 5}})


def test_report_nested_beyond_reason_is_no_accident_of_the_server(bare: Report) -> None:
    deep: Any = None
    for _ in range(5000):
        deep = [deep]

    with pytest.raises(ReportInvalid, match="null without a reason"):
        validate({**bare, "deep": deep})


def test_schema_is_a_schema() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_histograms_of_reports_merge(bare: Report, full: Report) -> None:
    together = merge([bare["latency"]["hist"], full["latency"]["hist"]])

    assert samples_in(together) == bare["replication"]["n"] + full["replication"]["n"]
    assert quantile(bare["latency"]["hist"], 0.5) == pytest.approx(bare["latency"]["p50"], rel=0.0101)


def test_unloadable_model_is_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")

    with pytest.raises(ModelUnloadable):
        run_benchmark(path, tier="smoke", timeout_s=60)
    with pytest.raises(ModelUnloadable):
        run_benchmark(tmp_path / "missing.onnx", tier="smoke", timeout_s=60)


def test_generated_inputs_that_do_not_run_ask_for_samples(tmp_path: Path, make_model: MakeModel) -> None:
    """Reflection needs at least two values; the open dimension is bound to one."""
    node = helper.make_node("Pad", ["x", "pads"], ["y"], mode="reflect")
    path = tmp_path / "pad.onnx"
    onnx.save(
        make_model(
            [node], inputs={"x": (1, ["n"])}, outputs={"y": (1, None)}, weights={"pads": np.array([1, 1], np.int64)}
        ),
        path,
    )

    with pytest.raises(InferenceFailed, match="give samples, or the shapes"):
        run_benchmark(path, tier="smoke", timeout_s=60)
    assert run_benchmark(path, tier="smoke", shapes={"x": (9,)}, timeout_s=60)["workload"]["input_shapes"] == {"x": [9]}


@pytest.mark.parametrize(
    "options",
    [
        {"tier": "forever"},
        {"configuration": replace(CANONICAL, intra_op=0)},
        {"processes": 0},
        {"processes": 21},
        {"providers": []},
        {"providers": ["CPUExecutionProvider", "CPUExecutionProvider"]},
    ],
)
def test_request_that_makes_no_sense_starts_nothing(classifier: Path, options: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        run_benchmark(classifier, timeout_s=60, **options)


def _children(pid: int) -> list[int]:
    """Children of all threads of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # the thread ended meanwhile
    return found


def _wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_bound_of_a_benchmark_counts_its_turn_and_every_process() -> None:
    """A watchdog is told this: the wait for the turn, three timed processes, the profiled one, the one that concludes."""
    assert longest_s("quick", processes=None, timeout_s=100) == 600
    assert longest_s("quick", processes=1, timeout_s=100) == 400


def test_child_that_is_too_slow_is_killed(classifier: Path) -> None:
    before = set(_children(os.getpid()))

    with pytest.raises(ChildTimedOut, match="after 1 s"):
        run_benchmark(classifier, tier="rapid", timeout_s=1)
    assert set(_children(os.getpid())) <= before


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL")])
def test_child_that_crashes_is_reported_with_its_signal(classifier: Path, number: int, name: str) -> None:
    before = set(_children(os.getpid()))
    caught: list[BenchmarkError] = []

    def run() -> None:
        try:
            run_benchmark(classifier, tier="rapid", timeout_s=60)
        except BenchmarkError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    (child,) = _wait_for(lambda: set(_children(os.getpid())) - before, "the child")
    os.kill(child, number)
    thread.join(20)

    (error,) = caught
    assert isinstance(error, ChildCrashed)
    assert error.signal == number
    assert name in str(error)


def test_child_does_not_outlive_a_parent_that_was_killed(classifier: Path) -> None:
    program = (
        "import pathlib, sys\n"
        "from benchmarks.runner import longest_s, run_benchmark\n"
        "run_benchmark(pathlib.Path(sys.argv[1]), tier='quick', timeout_s=60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, classifier]) as parent:
        (child,) = _wait_for(lambda: _children(parent.pid), "the child")
        # Until it has set its limits it is not yet bound to its parent's life.
        _wait_for(lambda: "onnxruntime" in Path(f"/proc/{child}/maps").read_text(), "the runtime in the child")
        parent.kill()
    _wait_for(lambda: not _alive(child), "the end of the child")


def test_parent_side_loads_no_heavy_package() -> None:
    program = (
        "import sys\n"
        "import benchmarks.runner, benchmarks.checks, benchmarks.accuracy, benchmarks.schema\n"
        "import benchmarks.configurations, benchmarks.commands, benchmarks.energy\n"
        "heavy = {'numpy', 'onnxruntime', 'onnx', 'psutil', 'jsonschema', 'ddsketch'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
