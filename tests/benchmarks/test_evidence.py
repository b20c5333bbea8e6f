"""Evidence against trees made from the kernel's documentation. None of it has been tried on the hardware it is about."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import environment_block, power_supply
from benchmarks.evidence import NOT_IN_SYS, EvidenceLog
from benchmarks.report import Absent

# Documentation/admin-guide/pm/cpufreq.rst: "scaling_cur_freq: Current frequency of all of the CPUs belonging to this policy (in kHz)";
# "cpuinfo_max_freq: Maximum possible operating frequency the CPUs belonging to this policy can run at (in kHz)".
CPUFREQ = "sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}"
# Documentation/admin-guide/thermal/intel_thermal_throttle.rst: "core_throttle_count: number of times 'Thermal Status flag' changed from 0 to 1
# for this CPU since OS boot"; "package_throttle_count: ... for the package containing this CPU ... all CPUs in the package increment this count".
THROTTLE = "sys/devices/system/cpu/cpu{cpu}/thermal_throttle/{name}"
# Documentation/driver-api/thermal/sysfs-api.rst: "temp: Current temperature as reported by thermal zone (sensor). Unit: millidegree Celsius";
# "cur_state == 0 means no cooling; cur_state == max_state means the maximum cooling"; type "should be Fan, Processor or LCD" for ACPI.
THERMAL = "sys/class/thermal/{device}/{name}"
# drivers/hwmon/raspberrypi-hwmon.c: chip `rpi_volt`, in0_lcrit_alarm is UNDERVOLTAGE_STICKY_BIT (16) of GET_THROTTLED, polled and cleared.
RPI_VOLT = "sys/class/hwmon/hwmon1/{name}"
# Raspberry Pi's kernel, drivers/firmware/raspberrypi.c, prints "%x\n"; bits as in `vcgencmd get_throttled`: 0 under-voltage, 1 frequency capped,
# 2 throttled, 3 soft temperature limit, the same from 16 on for "has occurred since the last reboot".
GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Documentation/accounting/psi.rst.
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


class Tree:
    """A device's files below a folder, and a log that reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def cpu(self, cpu: int, *, now: int, most: int = 2_400_000) -> None:
        self.write(CPUFREQ.format(cpu=cpu, name="scaling_cur_freq"), now)
        self.write(CPUFREQ.format(cpu=cpu, name="cpuinfo_max_freq"), most)

    def throttled(self, cpu: int, *, core: int, package: int, package_id: int = 0) -> None:
        self.write(THROTTLE.format(cpu=cpu, name="core_throttle_count"), core)
        self.write(THROTTLE.format(cpu=cpu, name="package_throttle_count"), package)
        self.write(f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", package_id)

    def thermal(self, device: str, **files: object) -> None:
        for name, content in files.items():
            self.write(THERMAL.format(device=device, name=name), content)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def _throttling(log: EvidenceLog) -> dict[str, Any]:
    block = log.throttling()
    assert not isinstance(block, Absent)
    return block


def test_device_that_tells_nothing_gives_reasons_and_no_zeros(tree: Tree) -> None:
    log = EvidenceLog(cpus=[0], root=tree.root)
    log.at_edge()
    log.at_edge()

    assert log.throttling() == NOT_IN_SYS
    for figure in (log.throttle_events, log.undervolt, log.pressure_us, log.pressure_share, log.frequency_ratio):
        assert isinstance(figure, Absent)


def test_frequency_is_of_the_slowest_cpu_in_use_at_the_end_of_each_window(tree: Tree) -> None:
    tree.cpu(0, now=600_000)  # not in use, idle
    log = EvidenceLog(cpus=[2, 3], root=tree.root)
    for fast, slow in ((1_500_000, 1_500_000), (2_400_000, 2_300_000), (2_400_000, 1_800_000)):
        tree.cpu(2, now=fast)
        tree.cpu(3, now=slow)
        log.at_edge()

    assert log.frequencies_khz == [2_300_000, 1_800_000]
    assert log.frequency_ratio == round(18 / 23, 4)
    assert _throttling(log)["freq_ratio_min"] == 0.625
    assert _throttling(log)["evidence"] == "suspected"


def test_process_that_is_not_bound_is_followed_to_its_cpu(tree: Tree) -> None:
    """proc(5): field 39 of stat is the processor; the name in parentheses may hold blanks and parentheses."""
    tree.cpu(0, now=600_000)
    tree.cpu(1, now=2_000_000)
    fields = ["S", *("0" for _ in range(35)), "1", "0"]
    tree.write("proc/thread-self/stat", f"4711 (a) b (c) {' '.join(fields)}")
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    log.at_edge()

    assert log.frequencies_khz == [2_000_000]


def test_hottest_zone_of_the_processor_counts_and_no_other(tree: Tree) -> None:
    tree.thermal("thermal_zone0", type="battery", temp=91_000)
    tree.thermal("thermal_zone1", type="x86_pkg_temp", temp=54_500)
    tree.thermal("thermal_zone2", type="cpu-thermal", temp=61_250)
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    tree.thermal("thermal_zone2", temp=58_000)
    log.at_edge()
    tree.thermal("thermal_zone1", temp=70_000)
    log.at_edge()

    assert log.temperatures_c == [58.0, 70.0]
    assert _throttling(log)["temp_max_c"] == 70.0
    assert _throttling(log)["evidence"] == "unavailable"


def test_package_count_that_every_cpu_repeats_is_counted_once(tree: Tree) -> None:
    for cpu in range(4):
        tree.throttled(cpu, core=10, package=40, package_id=cpu // 2)
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    tree.throttled(1, core=13, package=42, package_id=0)
    tree.throttled(0, core=10, package=42, package_id=0)
    log.at_edge()

    assert log.throttle_events == 3 + 2
    assert _throttling(log)["core_throttle_count_delta"] == 3
    assert _throttling(log)["package_throttle_count_delta"] == 2
    assert _throttling(log)["evidence"] == "confirmed"


@pytest.mark.parametrize(
    ("cooler", "events"),
    [
        ("cpufreq-cpu0", 2),
        ("thermal-cpufreq-0", 2),
        ("Processor", 2),
        ("pwm-fan", NOT_IN_SYS),
    ],
)
def test_cooling_of_the_processor_is_throttling_and_a_fan_is_not(tree: Tree, cooler: str, events: object) -> None:
    tree.thermal("cooling_device0", type=cooler, cur_state=0, max_state=5)
    log = EvidenceLog(root=tree.root)
    for state in (0, 2, 0):
        tree.thermal("cooling_device0", cur_state=state)
        log.at_edge()

    assert log.throttle_events == events


def test_powerclamp_that_is_off_says_minus_one_and_is_no_cooling(tree: Tree) -> None:
    tree.thermal("cooling_device3", type="intel_powerclamp", cur_state=-1)
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    log.at_edge()

    assert log.throttle_events == 0
    assert _throttling(log)["evidence"] == "none"


@pytest.mark.parametrize(
    ("readings", "events", "undervolt", "flags"),
    [
        (("0", "0", "0"), 0, False, "0x0"),
        (("50000", "50000", "50000"), 0, False, "0x0"),  # before the run, not in it
        (("0", "20002", "20000"), 1, False, "0x2"),  # capped at an edge
        (("0", "40000", "40000"), 1, False, "0x4"),  # throttled between two edges
        (("10000", "50005", "50000"), 1, True, "0x5"),
        (("0", "10000", "10000"), 0, True, "0x1"),
    ],
)
def test_firmware_flags_count_when_they_are_up_or_come_up(
    tree: Tree, readings: tuple[str, ...], events: int, flags: str, *, undervolt: bool
) -> None:
    tree.write(GET_THROTTLED, readings[0])
    log = EvidenceLog(root=tree.root)
    for reading in readings:
        tree.write(GET_THROTTLED, reading)
        log.at_edge()

    assert (log.throttle_events, log.undervolt) == (events, undervolt)
    assert _throttling(log)["rpi_get_throttled"] == flags


def test_undervoltage_alarm_of_one_moment_is_kept(tree: Tree) -> None:
    tree.write(RPI_VOLT.format(name="name"), "rpi_volt")
    tree.write("sys/class/hwmon/hwmon0/name", "nvme")
    tree.write("sys/class/hwmon/hwmon0/in0_lcrit_alarm", 1)
    log = EvidenceLog(root=tree.root)
    for alarm in (0, 1, 0):
        tree.write(RPI_VOLT.format(name="in0_lcrit_alarm"), alarm)
        log.at_edge()

    assert log.undervolt is True


def test_board_without_alarm_in_the_run_is_well_supplied(tree: Tree) -> None:
    tree.write(RPI_VOLT.format(name="name"), "rpi_volt")
    tree.write(RPI_VOLT.format(name="in0_lcrit_alarm"), 0)
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    log.at_edge()

    assert log.undervolt is False


def test_pressure_is_of_the_timed_windows_alone(tree: Tree) -> None:
    log = EvidenceLog(root=tree.root)
    for total in (8_000_000, 8_000_040):
        tree.write("proc/pressure/cpu", PRESSURE.format(total=total))
        log.at_edge()
    wall_ns = log.edges[1].at_ns - log.edges[0].at_ns

    assert log.pressure_us == 40
    assert log.pressure_share == round(40_000 / wall_ns, 4)


# Documentation/scheduler/sched-stats.rst: "1) time spent on the cpu (in nanoseconds) 2) time spent waiting on a runqueue (in nanoseconds)".
def test_waiting_is_of_all_threads_of_this_process(tree: Tree) -> None:
    log = EvidenceLog(root=tree.root)
    for first, second in ((5, 10), (5_000_005, 7_000_010)):
        tree.write("proc/self/task/41/schedstat", f"900 {first} 3")
        tree.write("proc/self/task/42/schedstat", f"800 {second} 3")
        log.at_edge()
    wall_ns = log.edges[1].at_ns - log.edges[0].at_ns

    assert log.wait_share(2) == round(12_000_000 / wall_ns / 2, 4)


def test_kernel_that_does_not_count_waiting_is_not_taken_for_a_quiet_one(tree: Tree) -> None:
    tree.write("proc/self/task/41/schedstat", "0 0 0")
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    log.at_edge()

    assert log.wait_share(1) == Absent("no schedstat in /proc")


def test_thread_that_ends_during_the_run_leaves_waiting_unknown_and_never_negative(tree: Tree) -> None:
    """Its count went with it. A report with a negative share would be refused as a whole."""
    tree.write("proc/self/task/41/schedstat", "900 5 3")
    tree.write("proc/self/task/42/schedstat", "900 5000 3")
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    (tree.root / "proc/self/task/42/schedstat").unlink()
    log.at_edge()

    assert log.wait_share(2) == Absent("a thread ended during the run, and what it had waited went with it")


def test_this_kernel_counts_waiting() -> None:
    """Every kernel that tests run on has schedstat (CONFIG_SCHED_INFO is on where there are task statistics or a scheduler's debug)."""
    log = EvidenceLog()
    log.at_edge()
    log.at_edge()

    assert not isinstance(log.wait_share(1), Absent)


def test_source_that_fails_during_the_run_is_no_column(tree: Tree) -> None:
    tree.thermal("thermal_zone0", type="cpu", temp=50_000)
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    log.at_edge()
    (tree.root / THERMAL.format(device="thermal_zone0", name="temp")).unlink()
    log.at_edge()

    assert isinstance(log.temperatures_c, Absent)


# Documentation/ABI/testing/sysfs-class-power: type is one of Battery, UPS, Mains, USB, Wireless; status one of Unknown, Charging,
# Discharging, Not charging, Full; scope "Device" for a supply of an external device.
@pytest.mark.parametrize(
    ("supplies", "source", "has_mains"),
    [
        ({}, Absent("no battery"), True),
        ({"AC": {"type": "Mains", "online": 1}}, Absent("no battery"), True),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}, "AC": {"type": "Mains", "online": 0}}, "battery", True),
        ({"BAT0": {"type": "Battery", "status": "Full"}, "AC": {"type": "Mains", "online": 1}}, "mains", True),
        ({"cw2015": {"type": "Battery", "status": "Discharging"}}, "battery", False),
        ({"hid-mouse": {"type": "Battery", "status": "Discharging", "scope": "Device"}}, Absent("no battery"), True),
    ],
)
def test_power_source_is_what_the_supplies_say(
    tree: Tree, supplies: dict[str, dict[str, object]], source: object, *, has_mains: bool
) -> None:
    for supply, files in supplies.items():
        for name, content in files.items():
            tree.write(f"sys/class/power_supply/{supply}/{name}", content)
    found = power_supply(tree.root)

    assert (found.source, found.has_mains) == (source, has_mains)


def _environment(tree: Tree) -> dict[str, Any]:
    tree.write("proc/meminfo", "MemTotal:        4046328 kB")
    log = EvidenceLog(root=tree.root)
    log.at_edge()
    before = {"load_avg_before": [0.0, 0.0, 0.0], "thermal_before": Absent("not looked at")}
    return environment_block(
        before, device_class="pi5", affinity=[3], evidence=log, power=power_supply(tree.root), root=tree.root
    )


# /var/lib/nvpmodel/status as nvpmodel of JetPack 6 leaves it; Documentation/ABI/testing/sysfs-platform_profile names `balanced`.
@pytest.mark.parametrize(
    ("path", "content", "mode"),
    [
        ("var/lib/nvpmodel/status", "pmode:0002 fmode:quiet", "nvpmodel/0002"),
        ("sys/firmware/acpi/platform_profile", "balanced", "platform_profile/balanced"),
        ("etc/nothing", "", NOT_IN_SYS),
    ],
)
def test_power_mode_is_the_boards_or_the_firmwares(tree: Tree, path: str, content: str, mode: object) -> None:
    tree.write(path, content)

    assert _environment(tree)["power_mode"] == mode


def test_each_setting_of_the_governor_is_said_once(tree: Tree) -> None:
    for policy, most in ((0, 1_800_000), (4, 2_400_000), (10, 2_400_000)):
        for name, content in (
            ("scaling_governor", "schedutil"),
            ("scaling_driver", "cpufreq-dt"),
            ("scaling_min_freq", 600_000),
            ("scaling_max_freq", most),
        ):
            tree.write(f"sys/devices/system/cpu/cpufreq/policy{policy}/{name}", content)
    environment = _environment(tree)

    assert [(one["policy"], one["max_khz"]) for one in environment["cpufreq"]] == [
        ("policy0", 1_800_000),
        ("policy4", 2_400_000),
    ]
    assert environment["ram_total"] == 4046328 * 1024
