"""The energy of a run: counters read at edges, power sampled by a real process beside it, and what is said when either fails."""

import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.energy import EnergyLog, EnergyUnreadable, Source, find_meter
from benchmarks.energy.integral import PowerSeries
from benchmarks.energy.sampler import Sampler, period_of
from benchmarks.report import Absent, settle
from benchmarks.schema import report_schema
from benchmarks.tiers import TIERS, TierPlan
from benchmarks.timing import Window, run_windows
from tests.benchmarks.energy_trees import acpi_meter, battery, hwmon_energy, ina2xx, rapl_zone, write_tree

SHORT = replace(TIERS["smoke"], min_queries=20, min_duration_s=0.02, idle_s=0.02)


@dataclass
class Board:
    """A board in a time of its own: it takes `idle_w` while it sleeps, and `busy_w` for the half millisecond of an inference.

    Attributes:
        idle_w: watts of each sleep in turn; the last of them for all that follow.
    """

    idle_w: list[float]
    busy_w: float
    u_rel_pct: float | Absent = field(default_factory=lambda: Absent("unstated"))
    now_ns: int = 0
    joules: float = 0.0

    @property
    def source(self) -> Source:
        return Source("hwmon", 1, "board", "board", self.u_rel_pct, ranges_uj=(None,))

    def read(self) -> tuple[int, ...]:
        return (round(self.joules * 1e6),)

    def sleep(self, seconds: float) -> None:
        self._pass(seconds, self.idle_w.pop(0) if len(self.idle_w) > 1 else self.idle_w[0])

    def infer(self, _: int) -> None:
        self._pass(0.0005, self.busy_w)

    def _pass(self, seconds: float, watts: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.joules += seconds * watts

    def run(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The energy block of a short run on this board."""
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "sleep", self.sleep)
        log = EnergyLog(SHORT, root=Path("/nonexistent"))
        log.meter = self
        block: dict[str, Any] = _run(log, self.infer)
        return block


def _run(log: EnergyLog, infer: Callable[[int], object]) -> Any:
    with log:
        log.baseline()
        windows = run_windows(infer, log.plan, log.at_edge)
    return log.block(windows)


def _valid(block: dict[str, Any]) -> dict[str, Any]:
    """The block as the report has it, checked against the schema."""
    settled: dict[str, Any] = settle({"energy": block})["energy"]
    schema = report_schema()
    energy_alone = {"$defs": schema["$defs"], **schema["properties"]["energy"]}
    jsonschema.Draft202012Validator(energy_alone).validate(settled)
    return settled


def test_block_of_an_earlier_ruler_is_still_valid() -> None:
    """As `bench-report/1` had it before there were baselines, samples and the method's present name."""
    _valid(
        {
            "method": "cputime-watts",
            "tier": 5,
            "scope": "process-share",
            "source": "4 W per busy core",
            "j_per_inference_gross": 0.02,
            "j_per_inference_net": Absent("no idle window"),
            "idle_w": Absent("no idle window"),
            "idle_window_s": Absent("no idle window"),
            "windows_n": 8,
            "window_s": 0.125,
            "median": 0.02,
            "mad": 0.0001,
            "u_rel_pct": Absent("watts of the caller"),
            "samples_expected": 9,
            "samples_ok": 9,
            "counter_wraps": 0,
            "same_run_as_latency": True,
        }
    )


# --- counters


def test_gross_holds_the_idle_power_and_net_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inference of half a millisecond at 12 W on a board that takes 2 W anyway: 6 mJ gross, 5 mJ net."""
    energy = _valid(Board([2.0], busy_w=12.0, u_rel_pct=3.0).run(monkeypatch))

    assert energy["idle_w"] == pytest.approx(2.0)
    assert energy["idle_window_s"] == pytest.approx(SHORT.idle_s)
    assert energy["j_per_inference_gross"] == energy["median"] == pytest.approx(0.006)
    assert energy["j_per_inference_net"] == pytest.approx(0.005)
    assert (energy["windows_n"], energy["samples_ok"], energy["samples_expected"]) == (5, 11, 11)
    assert (energy["mad"], energy["u_spread_pct"], energy["u_rel_pct"]) == (0.0, pytest.approx(0.0, abs=1e-6), 3.0)
    assert energy["same_run_as_latency"] is True


def test_baseline_that_drifts_is_in_the_uncertainty(monkeypatch: pytest.MonkeyPatch) -> None:
    """After settling, 2.0 W and then 2.4 W: the baseline is 2.2 W, and 0.4 W of 12 W are 3.33 %; with the sensor's 3 %, 4.48 %."""
    energy = _valid(Board([9.0, 2.0, 2.4, 0.0], busy_w=12.0, u_rel_pct=3.0).run(monkeypatch))

    assert energy["idle_w"] == pytest.approx(2.2)
    assert energy["u_spread_pct"] == pytest.approx(10 / 3, rel=1e-4)
    assert energy["u_rel_pct"] == pytest.approx(4.4845, rel=1e-4)


def test_sensor_without_an_accuracy_leaves_the_uncertainty_open_but_not_the_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = Board([2.0, 2.0, 2.4, 0.0], busy_w=12.0).run(monkeypatch)

    assert block["u_rel_pct"] == Absent("unstated")
    assert _valid(block)["u_spread_pct"] == pytest.approx(10 / 3, rel=1e-4)


def test_run_that_takes_no_more_than_idle_has_no_net_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Board([2.0], busy_w=1.9).run(monkeypatch)

    assert block["j_per_inference_net"] == Absent("the run took no more power than the device took idle")


def test_real_files_are_read_at_the_edges_only(tmp_path: Path) -> None:
    """The counter moves by 1,000 microjoules per inference, in a file; reading it more often would not change a thing, so it is counted."""
    root = write_tree(tmp_path, hwmon_energy(0, "ina228", 0, "VIN"))
    register = root / "sys/class/hwmon/hwmon0/energy1_input"
    log = EnergyLog(SHORT, root=root)

    def infer(index: int) -> None:
        register.write_text(f"{(index + 1) * 1000}\n")

    energy = _valid(_run(log, infer))

    assert energy["median"] == energy["j_per_inference_gross"] == pytest.approx(0.001)
    # It stood still while nothing ran: no device that is on takes 0 W, so there is no baseline.
    assert (energy["mad"], energy["idle_w"], energy["source"]) == (0.0, None, "ina228:VIN")
    assert energy["j_per_inference_net"] is None


def test_five_windows_stand_for_however_many_were_run(monkeypatch: pytest.MonkeyPatch) -> None:
    log = EnergyLog(SHORT, root=Path("/nonexistent"))
    log.meter = board = Board([1.0], busy_w=1.0)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: board.now_ns)
    monkeypatch.setattr(time, "sleep", board.sleep)
    windows = [Window(0, 1, 1, array("Q", [1]))] * 7
    log.baseline()
    for _ in range(8):
        log.at_edge()
        board.sleep(1.0)

    blocks = log.block(windows), log.block(windows[:3])

    assert [None if isinstance(block, Absent) else block["windows_n"] for block in blocks] == [5, 3]
    assert [None if isinstance(block, Absent) else block["median"] for block in blocks] == [1.0, 1.0]


@pytest.mark.parametrize("content", ["garbage", "5", None])
def test_counter_that_breaks_during_the_run_ends_the_figure_and_not_the_run(
    tmp_path: Path, content: str | None
) -> None:
    root = write_tree(tmp_path, rapl_zone("intel-rapl:0", "package-0", 1_000_000, range_uj=""))
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    log = EnergyLog(SHORT, root=root)
    inferences = 0

    def infer(_: int) -> None:
        nonlocal inferences
        inferences += 1
        if inferences == 12:
            counter.unlink() if content is None else counter.write_text(content)

    block = _run(log, infer)

    assert inferences >= 20
    assert isinstance(block, Absent)
    assert block.reason.endswith(
        ("holds no number", "ran backwards, from 1000000 to 5 microjoules", "cannot be read: No such file or directory")
    )


def test_counter_that_stands_still_is_no_energy_and_not_zero_joules(tmp_path: Path) -> None:
    log = EnergyLog(SHORT, root=write_tree(tmp_path, hwmon_energy(0, "ina228", 7, "VIN")))

    assert _run(log, lambda _: None) == Absent("ina228:VIN did not move during the run")


@dataclass
class SlowRegister(Board):
    """A board whose register the chip renews once in so many nanoseconds."""

    step_ns: int = 1

    def read(self) -> tuple[int, ...]:
        return (self.now_ns // self.step_ns * 1000,)


def test_register_slower_than_most_windows_is_no_figure_and_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed every fifteen milliseconds, it moves in the baseline and in one of the five windows of four."""
    block: Any = SlowRegister([2.0], busy_w=12.0, step_ns=15_000_000).run(monkeypatch)

    assert block == Absent("board did not move in most of the windows")


def test_counter_that_jumps_is_not_believed(tmp_path: Path) -> None:
    root = write_tree(tmp_path, hwmon_energy(0, "ina228", 7, "VIN"))
    log = EnergyLog(SHORT, root=root)

    block = _run(log, lambda _: (root / "sys/class/hwmon/hwmon0/energy1_input").write_text(str(10**18)))

    assert isinstance(block, Absent)
    assert "jumped by" in block.reason


# --- time


def test_no_time_is_spent_on_a_baseline_without_a_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("slept"))

    for log in (EnergyLog(SHORT, root=tmp_path), EnergyLog(SHORT, root=tmp_path, watts=3.0)):
        block = _run(log, lambda _: sum(range(1000)))

    assert _valid(block)["method"] == "cputime-calibrated"
    assert block["idle_w"] == block["j_per_inference_net"] == Absent("CPU time of one process has no idle part")


def test_slow_sensor_gets_the_windows_it_needs_in_the_tier_normal_only(tmp_path: Path) -> None:
    root = write_tree(tmp_path, acpi_meter(0, 30_000_000, interval_ms=3000))

    normal, quick = EnergyLog(TIERS["normal"], root=root), EnergyLog(TIERS["quick"], root=root)

    assert (normal.plan.min_duration_s, normal.plan.max_duration_s) == (150.0, 600.0)
    assert isinstance(quick.meter, Absent)
    assert quick.plan == TIERS["quick"]


@pytest.mark.parametrize("plan", TIERS.values(), ids=lambda plan: plan.name)
def test_every_tier_cuts_into_five_energy_windows_of_equal_length(plan: TierPlan) -> None:
    assert plan.windows % 5 == 0
    assert plan.min_duration_s / 5 <= plan.energy_window_s


def test_longest_baseline_and_run_fit_into_what_a_process_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A battery's gauge needs a minute of idle, before a model so slow that its run ends by its deadline."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    log = EnergyLog(TIERS["normal"], root=write_tree(tmp_path, battery(power_now=4_000_000)))
    log.baseline()

    assert sum(slept) > 60
    assert sum(slept) + log.plan.max_duration_s + 30 < TIERS["normal"].patience_s


def test_normal_measures_ten_seconds_idle_and_five_windows_of_ten() -> None:
    assert TIERS["normal"].idle_s >= 10
    assert TIERS["normal"].min_duration_s / 5 >= 10


# --- power under a curve


def test_area_under_a_ramp_is_exact_between_samples() -> None:
    """From 1 W to 3 W within 2 s: 4 J; a second of it, whose ends lie between samples, from 1.55 W to 2.55 W: 2.05 J."""
    at_ns = [index * 100_000_000 + 37 for index in range(21)]
    series = PowerSeries(at_ns, [1_000_000 + 100_000 * index for index in range(21)], 0.1)

    assert series.joules(at_ns[0], at_ns[-1]) == pytest.approx(4.0)
    assert series.joules(at_ns[5] + 50_000_000, at_ns[15] + 50_000_000) == pytest.approx(2.05)
    assert (series.expected(0, 10**9), series.taken(37, 10**9)) == (10, 9)


def test_lost_samples_are_bridged_and_counted() -> None:
    at_ns = [index * 100_000_000 for index in range(11) if index not in {4, 5}]
    series = PowerSeries(at_ns, [2_000_000] * 9, 0.1)

    assert series.joules(0, 10**9) == pytest.approx(2.0)
    assert (series.taken(0, 10**9), series.expected(0, 10**9)) == (9, 10)


def test_half_of_the_samples_lost_is_no_measurement_any_more() -> None:
    series = PowerSeries([0, 100_000_000, 200_000_000], [1, 1, 1], 0.1, "the sensor is gone")

    with pytest.raises(EnergyUnreadable, match="the sensor is gone"):
        series.joules(0, 10**9)


@pytest.mark.parametrize(("interval_s", "period_s"), [(1.0, 0.5), (0.02, 0.01), (0.002, 0.005)])
def test_sensor_is_sampled_twice_per_interval_but_not_faster_than_200_times_a_second(
    interval_s: float, period_s: float
) -> None:
    assert period_of(interval_s) == period_s


# --- the sampling process


def test_power_is_sampled_beside_the_run_and_integrated(tmp_path: Path) -> None:
    """3 W all the time: whatever the machine does to the sampler's timing, it is 3 W times the time between edges."""
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN", interval_ms=10))
    plan = replace(SHORT, min_duration_s=0.5, energy_window_s=1.0, idle_s=0.1)
    log = EnergyLog(plan, root=root, avoid=[0])

    asked: list[int] = []

    def infer(index: int) -> None:
        asked.append(index)
        time.sleep(0.005)

    energy = _valid(_run(log, infer))

    between_edges_s = (log._edges[-1].at_ns - log._edges[0].at_ns) / 1e9
    assert energy["j_per_inference_gross"] * len(asked) == pytest.approx(3.0 * between_edges_s, rel=1e-3)
    assert energy["idle_w"] == pytest.approx(3.0)
    assert energy["j_per_inference_net"] is None or energy["j_per_inference_net"] < 1e-9
    assert (energy["method"], energy["sensor_interval_s"], energy["sample_period_s"]) == ("ina", 0.01, 0.005)
    assert energy["samples_expected"] >= 90
    assert energy["samples_ok"] >= energy["samples_expected"] / 2


def test_sensor_that_vanishes_while_it_is_sampled_ends_the_figure_and_not_the_run(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN", interval_ms=10))
    log = EnergyLog(replace(SHORT, min_duration_s=0.3, energy_window_s=1.0), root=root)
    gone = root / "sys/class/hwmon/hwmon0/power1_input"

    def infer(_: int) -> None:
        gone.unlink(missing_ok=True)
        time.sleep(0.005)

    block = _run(log, infer)

    assert block == Absent(f"{gone} cannot be read: No such file or directory")


def test_battery_that_is_plugged_in_during_the_run_says_so(tmp_path: Path) -> None:
    root = write_tree(tmp_path, battery(power_now=4_000_000))
    meter = find_meter(root=root)
    assert not isinstance(meter, Absent)
    sampler = Sampler(replace(meter.source, interval_s=0.01), longest_window_s=60.0, root=root, avoid=())
    started_ns = time.perf_counter_ns()
    time.sleep(0.05)
    (root / "sys/class/power_supply/BAT0/status").write_text("Charging\n")
    time.sleep(0.2)

    series = sampler.stop()

    with pytest.raises(EnergyUnreadable, match="the battery BAT0 is Charging"):
        series.joules(started_ns, time.perf_counter_ns())


def test_sampler_keeps_off_the_measured_cpus(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN"))
    meter = find_meter(root=root)
    assert not isinstance(meter, Absent)
    measured = max(os.sched_getaffinity(0))

    sampler = Sampler(meter.source, longest_window_s=60.0, root=root, avoid=[measured])
    cpus = os.sched_getaffinity(sampler._process.pid)
    sampler.stop()

    assert measured not in cpus or cpus == {measured}


def test_sampler_that_does_not_find_its_sensor_is_a_reason(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN"))
    log = EnergyLog(replace(SHORT, energy_window_s=1.0), root=root)
    (root / "sys/class/hwmon/hwmon0/name").unlink()

    assert _run(log, lambda _: None) == Absent("the sampler found no ina ina226:VIN")


def test_sampler_does_not_outlive_a_benchmark_that_was_killed(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN"))
    code = (
        "import sys, time; from pathlib import Path; from benchmarks.energy import find_meter; from benchmarks.energy.sampler import Sampler\n"
        "root = Path(sys.argv[1])\n"
        "sampler = Sampler(find_meter(root=root).source, longest_window_s=60.0, root=root, avoid=())\n"
        "print(sampler._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, root], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        sampler = Path("/proc") / benchmark.stdout.readline().strip()
        assert "sampler_child" in (sampler / "cmdline").read_text()
        benchmark.kill()

    for _ in range(500):
        if _ended(sampler):
            return
        time.sleep(0.02)
    pytest.fail("the sampler still runs")


def _ended(process: Path) -> bool:
    try:
        return "\nState:\tZ" in (process / "status").read_text()
    except OSError:
        return True


def test_sampler_that_cannot_be_started_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN"))
    log = EnergyLog(replace(SHORT, energy_window_s=1.0), root=root)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    assert _run(log, lambda _: None) == Absent("no sampler could be started: No such file or directory")


def test_sampler_that_is_killed_is_a_reason(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ina2xx(0, "ina226", 3_000_000, "VIN"))
    log = EnergyLog(replace(SHORT, energy_window_s=1.0), root=root)
    with log:
        assert log._sampler is not None
        log._sampler._process.kill()
        log.baseline()
        windows = run_windows(lambda _: None, log.plan, log.at_edge)

    assert log.block(windows) == Absent("the sampler ended without an answer")
