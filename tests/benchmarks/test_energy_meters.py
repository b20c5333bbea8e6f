"""Each kind of meter on a tree of files as the kernel's documents describe them. UNTESTED ON HARDWARE."""

import fcntl
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.energy import EnergyMeter, EnergyUnreadable, find_meter
from benchmarks.energy.integral import counted
from benchmarks.report import Absent
from tests.benchmarks.energy_trees import (
    PMIC_ANSWER,
    RAPL_RANGE_UJ,
    Tree,
    acpi_meter,
    battery,
    hwmon_energy,
    ina2xx,
    ina3221,
    jetpack4,
    rapl_zone,
    write_tree,
)

JETSON = ina3221(1, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), ((5000, 800), (5000, 300), (5000, 200)))


def _found(root: Path, *trees: Tree, watts: float | None = None) -> EnergyMeter:
    meter = find_meter(root=write_tree(root, *trees), watts=watts)
    assert not isinstance(meter, Absent), meter
    return meter


def _reason(root: Path, *trees: Tree, longest_window_s: float = 60.0) -> str:
    meter = find_meter(root=write_tree(root, *trees), longest_window_s=longest_window_s)
    assert isinstance(meter, Absent), meter.source
    return meter.reason


# --- the order


ALL = {
    "hwmon": hwmon_energy(0, "ina228", 5, "VIN"),
    "ina": ina2xx(1, "ina226", 3_000_000),
    "acpi": acpi_meter(2, 9_000_000),
    "rapl-pkg": rapl_zone("intel-rapl:0", "package-0", 7),
    "battery": battery(power_now=4_000_000),
}


@pytest.mark.parametrize("best", range(len(ALL)))
def test_the_best_meter_there_is_wins(tmp_path: Path, best: int) -> None:
    methods = list(ALL)

    meter = _found(tmp_path, *list(ALL.values())[best:], watts=3.0)

    assert meter.source.method == methods[best]


def test_a_broken_meter_leaves_the_place_to_the_next(tmp_path: Path) -> None:
    meter = _found(tmp_path, hwmon_energy(0, "ina228", "garbage", "VIN"), ALL["rapl-pkg"])

    assert meter.source.method == "rapl-pkg"


def test_no_meter_and_no_watts_says_all_that_was_looked_for(tmp_path: Path) -> None:
    assert _reason(tmp_path) == (
        "no energy register in /sys/class/hwmon; no shunt monitor on I2C; no ACPI power meter; "
        "no RAPL domain in /sys/class/powercap; no Raspberry Pi firmware; no battery; no watts given"
    )


def test_watts_of_the_caller_are_the_last_resort(tmp_path: Path) -> None:
    meter = _found(tmp_path, watts=2.5)
    before = meter.read()
    sum(range(200_000))

    assert (meter.source.method, meter.source.tier, meter.source.scope) == ("cputime-calibrated", 5, "process-share")
    assert meter.source.detail == "2.5 W per busy core"
    assert not meter.source.counts_idle
    assert counted(meter.source, before, meter.read()).joules > 0


def test_meter_too_slow_for_the_run_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    slow = _reason(tmp_path / "a", battery(power_now=4_000_000), longest_window_s=2.0)
    other = find_meter(root=write_tree(tmp_path / "b", battery(power_now=1)), longest_window_s=2.0, watts=3.0)

    assert "battery BAT0 needs windows of 60 s and this run has 2 s: measure in the tier normal" in slow
    assert not isinstance(other, Absent)
    assert other.source.method == "cputime-calibrated"


# --- energy registers


def test_energy_register_of_the_input_rail_is_taken_before_its_sub_rails(tmp_path: Path) -> None:
    meter = _found(
        tmp_path,
        hwmon_energy(2, "ina228", 111, "VDD_CPU", register=1),
        hwmon_energy(2, "ina228", 500, "VDD_IN", register=2),
    )

    assert (meter.source.tier, meter.source.scope, meter.source.detail) == (1, "board", "ina228:VDD_IN")
    assert meter.source.interval_s is None
    assert meter.read() == (500,)


@pytest.mark.parametrize("chip", ["amdgpu", "xe", "amd_energy"])
def test_energy_register_of_a_graphics_card_or_a_cpu_is_not_the_boards(tmp_path: Path, chip: str) -> None:
    assert "none is known as the input rail" in _reason(tmp_path, hwmon_energy(0, chip, 5))


def test_several_unknown_registers_are_not_guessed_from(tmp_path: Path) -> None:
    reason = _reason(tmp_path, hwmon_energy(0, "ina228", 1, register=1), hwmon_energy(0, "ina228", 2, register=2))

    assert "2 energy registers in /sys/class/hwmon and none is known as the input rail" in reason


# --- shunt monitors


def test_ina2xx_power_is_microwatts_of_the_only_rail(tmp_path: Path) -> None:
    meter = _found(tmp_path, ina2xx(0, "ina226", 3_000_000, interval_ms=100))

    assert (meter.source.method, meter.source.scope, meter.source.detail) == ("ina", "rails", "ina226:power1_input")
    assert (meter.source.interval_s, meter.source.min_window_s) == (0.1, 1.0)
    assert meter.read() == (3_000_000,)


def test_ina2xx_with_the_label_of_the_input_rail_is_the_board(tmp_path: Path) -> None:
    meter = _found(tmp_path, ina2xx(0, "ina238", 9_000_000, "VIN"), ina2xx(1, "ina238", 2_000_000, "VDD_GPU"))

    assert (meter.source.scope, meter.read()) == ("board", (9_000_000,))


def test_ina219_does_not_state_its_interval(tmp_path: Path) -> None:
    assert _found(tmp_path, ina2xx(0, "ina219", 1, interval_ms=None)).source.interval_s == 0.1


def test_ina3221_power_is_volts_times_amperes_of_the_input_rail_only(tmp_path: Path) -> None:
    meter = _found(tmp_path, JETSON)

    assert (meter.source.scope, meter.source.detail) == ("board", "ina3221:VDD_IN")
    assert meter.read() == (5000 * 800,)


def test_ina3221_without_an_input_rail_is_never_summed(tmp_path: Path) -> None:
    orin = ina3221(1, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ((5000, 800), (5000, 300), (5000, 200)))

    assert (
        "3 rails are measured and none is known as the one input rail: VDD_CPU_CV, VDD_GPU_SOC, VIN_SYS_5V0"
        in _reason(tmp_path, orin)
    )


def test_ina3221_channels_not_connected_or_disabled_and_the_sum_are_no_rails(tmp_path: Path) -> None:
    lonely = ina3221(1, ("NC", "VDD_5V", "VDD_OFF"), ((0, 0), (5000, 300), (1000, 1)))
    lonely["sys/class/hwmon/hwmon1/in3_enable"] = 0

    meter = _found(tmp_path, lonely)

    assert (meter.source.detail, meter.source.scope, meter.read()) == ("ina3221:VDD_5V", "rails", (1_500_000,))


@pytest.mark.parametrize("label", ["POM_5V_IN", "VDD_IN"])
def test_jetpack_4_rail_is_read_from_iio_in_milliwatts(tmp_path: Path, label: str) -> None:
    meter = _found(tmp_path, jetpack4({label: 2500, "POM_5V_GPU": 400, "POM_5V_CPU": 900}))

    assert (meter.source.detail, meter.source.scope) == (f"ina3221x:{label}", "board")
    assert meter.read() == (2_500_000,)


# --- ACPI


@pytest.mark.parametrize(
    ("stated", "u_rel_pct"),
    # 100 % is exact; what is below a half can only be meant as an error. The driver does not pad thousandths: 97.50% is 97.050.
    [("97.500%", 2.5), ("97.50%", 2.95), ("100.0%", 0.0), ("2.500%", 2.5), ("80", 20.0)],
)
def test_acpi_accuracy_becomes_the_uncertainty(tmp_path: Path, stated: str, u_rel_pct: float) -> None:
    assert _found(tmp_path, acpi_meter(0, 30_000_000, stated)).source.u_rel_pct == u_rel_pct


@pytest.mark.parametrize("stated", ["0.0%", "unknown", "", "101.0%"])
def test_acpi_meter_without_a_usable_accuracy_still_measures(tmp_path: Path, stated: str) -> None:
    meter = _found(tmp_path, acpi_meter(0, 30_000_000, stated))

    assert isinstance(meter.source.u_rel_pct, Absent)
    assert meter.read() == (30_000_000,)


def test_acpi_meter_of_the_system_is_taken_before_a_meter_of_a_part(tmp_path: Path) -> None:
    meter = _found(tmp_path, acpi_meter(0, 1, whole=False), acpi_meter(1, 30_000_000, interval_ms=1000))

    assert meter.read() == (30_000_000,)
    assert (meter.source.interval_s, meter.source.min_window_s) == (1.0, 10.0)


def test_acpi_meter_of_an_older_kernel_is_one_folder_deeper(tmp_path: Path) -> None:
    assert _found(tmp_path, acpi_meter(0, 30_000_000, deep=True)).source.detail == "power_meter:PM-1"


def test_acpi_meter_of_a_battery_is_left_to_the_battery_reader(tmp_path: Path) -> None:
    tree = acpi_meter(0, 30_000_000)
    tree["sys/class/hwmon/hwmon0/power1_is_battery"] = 1

    assert "no ACPI power meter" in _reason(tmp_path, tree)


# --- RAPL


def test_packages_are_added_but_not_their_parts_nor_their_mmio_twins(tmp_path: Path) -> None:
    meter = _found(
        tmp_path,
        rapl_zone("intel-rapl:0", "package-0", 1000),
        rapl_zone("intel-rapl:1", "package-1", 20),
        rapl_zone("intel-rapl:0:0", "core", 700),
        rapl_zone("intel-rapl:0:1", "dram", 9),
        rapl_zone("intel-rapl-mmio:0", "package-0", 1000),
    )

    assert (meter.source.method, meter.source.scope, meter.source.tier) == ("rapl-pkg", "package", 2)
    assert meter.read() == (1000, 20)


def test_platform_domain_is_preferred_to_packages(tmp_path: Path) -> None:
    meter = _found(tmp_path, rapl_zone("intel-rapl:0", "package-0", 10), rapl_zone("intel-rapl:1", "psys", 30))

    assert (meter.source.method, meter.source.scope, meter.read()) == ("rapl-psys", "board", (30,))


def test_wrapped_counters_give_the_true_difference_each(tmp_path: Path) -> None:
    meter = _found(tmp_path, rapl_zone("intel-rapl:0", "package-0", 1), rapl_zone("intel-rapl:1", "package-1", 1))

    delta = counted(meter.source, (RAPL_RANGE_UJ - 1_000_000, 5), (2_000_000, 500_005))

    assert (delta.joules, delta.wraps) == (3.5, 1)


def test_counter_that_was_set_back_is_not_taken_for_a_wrap(tmp_path: Path) -> None:
    """A driver that was loaded again begins at zero: corrected as a wrap, one window would show a quarter of a megajoule."""
    meter = _found(tmp_path, rapl_zone("intel-rapl:0", "package-0", 1))

    with pytest.raises(EnergyUnreadable, match="ran backwards"):
        counted(meter.source, (9_000_000,), (1_000,))


@pytest.mark.parametrize("range_uj", ["", "garbage", 0])
def test_counter_without_a_range_that_runs_backwards_is_an_error(tmp_path: Path, range_uj: object) -> None:
    meter = _found(tmp_path, rapl_zone("intel-rapl:0", "package-0", 1, range_uj))

    with pytest.raises(EnergyUnreadable, match="package-0 ran backwards, from 10 to 9"):
        counted(meter.source, (10,), (9,))


def test_rapl_that_only_root_may_read_says_so_and_where_to_look() -> None:
    """In a process of its own, which drops to another user where it is root."""
    code = (
        "import os, sys; from pathlib import Path; from benchmarks.energy import find_meter\n"
        "os.seteuid(65534) if os.geteuid() == 0 else None\n"
        "print(find_meter(root=Path(sys.argv[1])).reason)"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder), rapl_zone("intel-rapl:0", "package-0", 1))
        root.chmod(0o755)
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0o000)
        done = subprocess.run(
            [sys.executable, "-c", code, root], capture_output=True, text=True, check=True, timeout=30
        )

    assert "energy_uj is readable for root only; docs/energy.md says how to change that" in done.stdout


# --- Raspberry Pi 5


def _firmware(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[tuple[int, bytes]]:
    """A firmware that answers every property message with `answer`, in the layout of raspberrypi/utils' vcgencmd.c; what it was asked."""
    asked = []

    def ioctl(_: int, request: int, message: bytearray) -> int:
        asked.append((request, bytes(message)))
        message[24 : 24 + 1024] = answer.encode()[:1024].ljust(1024, b"\0")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return asked


def test_pi_5_rails_are_volts_times_amperes_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _firmware(monkeypatch, PMIC_ANSWER)

    meter = _found(tmp_path, {"dev/vcio": ""})
    rails = meter.read()

    assert (meter.source.method, meter.source.tier, meter.source.scope) == ("pmic", 3, "rails")
    assert len(rails) == 12
    # 9.76 W of the core; of the system's rails .207, .290, .194 and .263 W; .069 W of HDMI; .016 W in all others.
    assert max(rails) == round(10.87674 * 0.8974594 * 1e6)
    assert sum(rails) == pytest.approx(10.80e6, rel=0.001)
    request, message = asked[-1]
    assert request == (0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400)
    assert struct.unpack_from("=6I", message) == (6 * 4 + 1024 + 4, 0, 0x00030080, 1024, 0, 0)
    assert message[24:].startswith(b"pmic_read_adc\0")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('error=1 error_msg="Command not registered"', "the firmware measures no rails: error=1"),
        ("", "the firmware measures no rails"),
        ("VDD_CORE_A current(7)=0.75012000A\n", "the firmware gave no voltage of VDD_CORE"),
        ("VDD_CORE_A current(7)=nanA\nVDD_CORE_V volt(15)=1V\n", "the firmware showed nan"),
        ("VDD_CORE_A current(7)=fastA\n", "the firmware's answer makes no sense"),
        (PMIC_ANSWER[: len(PMIC_ANSWER) // 2], "the firmware gave no voltage of"),
    ],
)
def test_pi_without_rails_or_with_half_an_answer_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, reason: str
) -> None:
    _firmware(monkeypatch, answer)

    assert reason in _reason(tmp_path, {"dev/vcio": ""})


def test_device_that_is_no_firmware_is_a_reason(tmp_path: Path) -> None:
    """A plain file refuses the message as a wrong device would: ENOTTY."""
    assert "dev/vcio cannot be asked: Inappropriate ioctl for device" in _reason(tmp_path, {"dev/vcio": ""})


# --- batteries


def test_battery_power_is_taken_as_the_gauge_gives_it(tmp_path: Path) -> None:
    meter = _found(tmp_path, battery(power_now=-4_200_000, capacity_error_margin=5))

    assert (meter.source.method, meter.source.tier, meter.source.detail) == ("battery", 4, "BAT0")
    assert (meter.source.u_rel_pct, meter.source.min_window_s) == (5.0, 60.0)
    assert meter.read() == (4_200_000,)


@pytest.mark.parametrize("microamperes", [1_200_000, -1_200_000])
def test_battery_current_counts_by_status_and_not_by_its_sign(tmp_path: Path, microamperes: int) -> None:
    meter = _found(tmp_path, battery(current_now=microamperes, voltage_now=3_700_000))

    assert meter.read() == (4_440_000,)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_battery_that_is_not_discharging_measures_nothing(tmp_path: Path, status: str) -> None:
    assert f"the battery BAT0 is {status}, so it does not feed the device alone" in _reason(
        tmp_path, battery(status=status, power_now=4_000_000)
    )


def test_battery_of_a_mouse_or_an_empty_bay_is_not_the_devices(tmp_path: Path) -> None:
    mouse, bay = battery("hidpp_battery_0", scope="Device", power_now=1), battery("BAT1", power_now=1)

    assert "no battery" in _reason(tmp_path, mouse, bay | {"sys/class/power_supply/BAT1/present": 0})


def test_two_batteries_are_not_guessed_from(tmp_path: Path) -> None:
    assert "2 batteries" in _reason(tmp_path, battery("BAT0", power_now=1), battery("BAT1", power_now=1))


# --- hostile files


@pytest.mark.parametrize("content", ["", "garbage", "12 34", "-", "\u0663\u0663x", "9" * 99_999, None])
@pytest.mark.parametrize("kind", ["hwmon", "ina", "acpi", "rapl", "battery"])
def test_unreadable_or_senseless_reading_is_a_reason_and_never_a_number(
    tmp_path: Path, kind: str, content: object
) -> None:
    trees = {
        "hwmon": lambda: hwmon_energy(0, "ina228", content, "VIN"),
        "ina": lambda: ina2xx(0, "ina226", content),
        "acpi": lambda: acpi_meter(0, content),
        "rapl": lambda: rapl_zone("intel-rapl:0", "package-0", content),
        "battery": lambda: battery(current_now=content, voltage_now=3_700_000),
    }

    reason = _reason(tmp_path, trees[kind]())

    assert "holds no number" in reason or "cannot be read: Is a directory" in reason


def test_names_and_labels_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    root = write_tree(tmp_path, JETSON)
    (root / "sys/class/hwmon/hwmon1/in1_label").write_bytes(os.urandom(5000))

    assert "none is known as the one input rail" in _reason(root)
