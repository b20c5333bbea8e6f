"""Energy readers on fake sysfs trees, and the analytic bound by hand."""

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.energy import EnergyLog, EnergyMeter, EnergyUnreadable, find_meter
from benchmarks.energy.analytic import analytic_block
from benchmarks.report import Absent
from benchmarks.timing import Window

RANGE_UJ = 262_143_328_850


@pytest.fixture
def sysfs(tmp_path: Path) -> Callable[[dict[str, object]], Path]:
    """Writes a tree of files under a fake /sys."""

    def write(files: dict[str, object]) -> Path:
        for name, content in files.items():
            path = tmp_path / "class" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return write


def _rapl(zone: str, name: str, energy_uj: int) -> dict[str, object]:
    folder = f"powercap/{zone}"
    return {f"{folder}/name": name, f"{folder}/energy_uj": energy_uj, f"{folder}/max_energy_range_uj": RANGE_UJ}


def _found(root: Path, watts: float | None = None) -> EnergyMeter:
    meter = find_meter(sys_root=root, watts=watts)
    assert not isinstance(meter, Absent), meter
    return meter


def _windows(*counts: int) -> list[Window]:
    return [Window(0, 1_000_000_000, 500_000_000, array("Q", [1] * count)) for count in counts]


def test_packages_are_added_but_not_their_parts_nor_their_mmio_twins(sysfs: Callable[..., Path]) -> None:
    root = sysfs(
        {
            **_rapl("intel-rapl:0", "package-0", 1000),
            **_rapl("intel-rapl:1", "package-1", 20),
            **_rapl("intel-rapl:0:0", "core", 700),
            **_rapl("intel-rapl:0:1", "dram", 9),
            **_rapl("intel-rapl-mmio:0", "package-0", 1000),
        }
    )
    meter = _found(root)

    assert (meter.source.method, meter.source.scope, meter.source.tier) == ("rapl-pkg", "package", 2)
    assert meter.read_uj() == 1020


def test_platform_domain_is_preferred_to_packages(sysfs: Callable[..., Path]) -> None:
    meter = _found(sysfs({**_rapl("intel-rapl:0", "package-0", 10), **_rapl("intel-rapl:1", "psys", 30)}))

    assert (meter.source.method, meter.source.scope, meter.read_uj()) == ("rapl-psys", "board", 30)


def test_wrapped_counter_gives_the_true_difference(sysfs: Callable[..., Path]) -> None:
    meter = _found(sysfs(_rapl("intel-rapl:0", "package-0", 1)))

    delta = meter.between(RANGE_UJ - 1_000_000, 2_000_000)

    assert (delta.joules, delta.wraps) == (3.0, 1)


def test_both_packages_may_wrap_in_one_window(sysfs: Callable[..., Path]) -> None:
    meter = _found(sysfs({**_rapl("intel-rapl:0", "package-0", 1), **_rapl("intel-rapl:1", "package-1", 1)}))

    delta = meter.between(2 * RANGE_UJ - 2_000_000, 2_000_000)

    assert (delta.joules, delta.wraps) == (4.0, 2)


def test_unreadable_rapl_is_absent_with_the_reason(sysfs: Callable[..., Path]) -> None:
    root = sysfs({"powercap/intel-rapl:0/name": "package-0", "powercap/intel-rapl:0/max_energy_range_uj": RANGE_UJ})
    found = find_meter(sys_root=root)

    assert isinstance(found, Absent)
    assert "energy_uj cannot be read" in found.reason


def test_board_register_wins_over_rapl_and_over_its_sub_rails(sysfs: Callable[..., Path]) -> None:
    root = sysfs(
        {
            **_rapl("intel-rapl:0", "package-0", 10),
            "hwmon/hwmon2/name": "ina238",
            "hwmon/hwmon2/energy1_input": 111,
            "hwmon/hwmon2/energy1_label": "VDD_CPU",
            "hwmon/hwmon2/energy2_input": 500,
            "hwmon/hwmon2/energy2_label": "VDD_IN",
        }
    )
    meter = _found(root)

    assert (meter.source.method, meter.source.tier, meter.source.scope) == ("hwmon", 1, "board")
    assert meter.source.detail == "ina238:VDD_IN"
    assert meter.read_uj() == 500


def test_several_unknown_registers_are_not_guessed_from(sysfs: Callable[..., Path]) -> None:
    found = find_meter(sys_root=sysfs({"hwmon/hwmon0/energy1_input": 1, "hwmon/hwmon0/energy2_input": 2}))

    assert isinstance(found, Absent)
    assert "2 energy registers" in found.reason


def test_register_without_a_range_that_runs_backwards_is_an_error(sysfs: Callable[..., Path]) -> None:
    meter = _found(sysfs({"hwmon/hwmon0/name": "ina238", "hwmon/hwmon0/energy1_input": 5}))

    with pytest.raises(EnergyUnreadable, match="ran backwards"):
        meter.between(10, 9)


def test_no_sensor_and_no_watts_says_all_that_was_looked_for(tmp_path: Path) -> None:
    found = find_meter(sys_root=tmp_path)

    assert found == Absent(
        "no energy register in /sys/class/hwmon; no RAPL domain in /sys/class/powercap; no watts given"
    )


def test_watts_of_the_caller_are_the_last_resort(tmp_path: Path) -> None:
    meter = _found(tmp_path, watts=2.5)
    before = meter.read_uj()
    sum(range(200_000))

    assert (meter.source.method, meter.source.tier, meter.source.scope) == ("cputime-watts", 5, "process-share")
    assert meter.between(before, meter.read_uj()).joules > 0


def test_energy_of_a_run_is_per_inference_over_all_windows(sysfs: Callable[..., Path]) -> None:
    root = sysfs({"hwmon/hwmon0/name": "ina238", "hwmon/hwmon0/energy1_input": 0})
    counter = root / "class/hwmon/hwmon0/energy1_input"
    log = EnergyLog(_found(root))
    for joules in (0, 2, 3, 6):
        counter.write_text(str(joules * 1_000_000))
        log.at_edge()

    block = log.block(_windows(10, 10, 10))

    assert not isinstance(block, Absent)
    assert block["j_per_inference_gross"] == pytest.approx(6 / 30)
    assert block["median"] == pytest.approx(0.2)
    assert block["mad"] == pytest.approx(0.1)
    assert (block["samples_expected"], block["samples_ok"], block["counter_wraps"]) == (4, 4, 0)
    assert isinstance(block["j_per_inference_net"], Absent)


def test_sensor_that_vanishes_ends_the_energy_figure_and_not_the_run(sysfs: Callable[..., Path]) -> None:
    root = sysfs({"hwmon/hwmon0/name": "ina238", "hwmon/hwmon0/energy1_input": 0})
    log = EnergyLog(_found(root))
    log.at_edge()
    (root / "class/hwmon/hwmon0/energy1_input").unlink()
    log.at_edge()
    log.at_edge()

    block = log.block(_windows(1, 1))

    assert isinstance(block, Absent)
    assert "cannot be read" in block.reason


def _static(**macs: int) -> dict[str, object]:
    named = {pair.replace("_", "\u00d7"): count for pair, count in macs.items()}
    return {"macs": named, "param_bytes": 5_000_000, "peak_activation_bytes": 6_000_000}


def test_analytic_bound_adds_arithmetic_and_weights_when_the_chip_is_too_small() -> None:
    """1 G int8 multiply-adds at 0.3 pJ are 0.3 mJ; 5 MB from DRAM at 64 and 162.5 pJ/B are 0.32 and 0.8125 mJ."""
    block = analytic_block(_static(uint8_int8=10**9))

    assert not isinstance(block, Absent)
    assert block["fits_8192_kib"] is False
    assert block["e_mac_j"] == pytest.approx(0.3e-3)
    assert block["e_total_j"] == pytest.approx([0.62e-3, 1.1125e-3])


def test_analytic_bound_reads_no_dram_when_everything_fits() -> None:
    block = analytic_block({**_static(float32_float32=10**9), "param_bytes": 1_000_000})

    assert not isinstance(block, Absent)
    assert block["e_total_j"] == pytest.approx([4.6e-3, 4.6e-3])


def test_weight_only_quantisation_pays_for_float_arithmetic() -> None:
    block = analytic_block(_static(float32_int4=10**9))

    assert not isinstance(block, Absent)
    assert block["e_mac_j"] == pytest.approx(4.6e-3)


def test_unknown_dtype_or_peak_gives_no_figure() -> None:
    assert isinstance(analytic_block(_static(float64_float64=1)), Absent)
    assert isinstance(analytic_block({**_static(float32_float32=1), "peak_activation_bytes": None}), Absent)
