"""What is seen of a machine, on made-up /sys and /proc as the kernel's documents describe them."""

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.clock import Instant
from agent.conditions import (
    Conditions,
    Look,
    Observer,
    battery_percent,
    default_interface,
    is_modem,
    temperature_c,
    time_of_day_s,
)
from agent.config import Policy
from agent.connection import Counted
from agent.spending import LONGEST_DAY_S, SAVE_BYTES, Day, Spending, Spent, read, rolled
from tests.agent.device import SteadyClock

ROUTE_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def files(root: Path, **contents: str) -> Path:
    """Small files by their paths, `__` for `/`."""
    for name, content in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def route(interface: str, metric: int, destination: str = "00000000", mask: str = "00000000") -> str:
    return f"{interface}\t{destination}\t010200C0\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def route6(interface: str, metric: int, length: str = "00") -> str:
    return f"{'0' * 32} {length} {'0' * 32} 00 fe80{'0' * 27}1 {metric:08x} 00000001 00000000 00000003 {interface}\n"


@pytest.mark.parametrize(
    ("v4", "v6", "expected"),
    [
        (route("eth0", 100) + route("wwan0", 700), "", "eth0"),
        (route("eth0", 900) + route("wwan0", 700), "", "wwan0"),
        (route("eth0", 0, destination="000200C0", mask="00FFFFFF"), "", None),
        (route("tun0", 0, mask="00000080") + route("eth0", 5), "", "eth0"),
        ("", route6("lo", 0xFFFFFFFF) + route6("usb0", 1024) + route6("eth0", 512), "eth0"),
        ("", route6("eth0", 256, length="40"), None),
        ("damaged", "damaged", None),
    ],
)
def test_interface_of_the_default_route(tmp_path: Path, v4: str, v6: str, expected: str | None) -> None:
    files(tmp_path, net__route=ROUTE_HEAD + v4, net__ipv6_route=v6)
    assert default_interface(tmp_path) == expected


@pytest.mark.parametrize(
    ("kind", "uevent", "expected"),
    [
        ("1", "DEVTYPE=wwan\nINTERFACE=wwan0\nIFINDEX=3\n", True),
        ("519", "INTERFACE=rmnet0\n", True),
        ("512", "INTERFACE=ppp0\n", True),
        ("1", "DEVTYPE=wlan\nINTERFACE=wlan0\n", False),
        ("1", "INTERFACE=eth0\n", False),
    ],
)
def test_modem_is_known_by_its_kind(tmp_path: Path, kind: str, uevent: str, expected: bool) -> None:  # noqa: FBT001 - a row
    files(tmp_path, class__net__x__type=f"{kind}\n", class__net__x__uevent=uevent)
    assert is_modem(tmp_path, "x") is expected
    assert is_modem(tmp_path, "not-there") is False


BATTERIES: dict[str, tuple[dict[str, str], float | None]] = {
    "none": ({}, None),
    "discharging": ({"b__type": "Battery", "b__status": "Discharging", "b__capacity": "42\n"}, 42),
    "charging": ({"b__type": "Battery", "b__status": "Charging", "b__capacity": "3\n"}, None),
    "full": ({"b__type": "Battery", "b__status": "Full", "b__capacity": "100"}, None),
    "of a mouse": ({"m__type": "Battery", "m__scope": "Device", "m__status": "Discharging", "m__capacity": "5"}, None),
    "gauge without capacity": (
        {"b__type": "Battery", "b__status": "Discharging", "b__charge_now": "500000", "b__charge_full": "2000000"},
        25,
    ),
    "gauge that says nothing": ({"b__type": "Battery", "b__status": "Discharging"}, None),
    "two, one at a time": (
        {
            "a__type": "Battery", "a__status": "Discharging", "a__capacity": "5",
            "b__type": "Battery", "b__status": "Not charging", "b__capacity": "90",
            "c__type": "Mains", "c__online": "0",
        },
        90,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BATTERIES)
def test_battery(tmp_path: Path, name: str) -> None:
    contents, expected = BATTERIES[name]
    files(tmp_path, **{f"class__power_supply__{path}": content for path, content in contents.items()})
    assert battery_percent(tmp_path) == expected


def test_hottest_sensor_that_makes_sense(tmp_path: Path) -> None:
    assert temperature_c(tmp_path) is None
    zones = {"0": "45000\n", "1": "71500\n", "2": "-274000\n", "3": "200000\n", "4": "", "5": "nan"}
    files(tmp_path, **{f"class__thermal__thermal_zone{zone}__temp": temp for zone, temp in zones.items()})
    files(tmp_path, class__thermal__cooling_device0__cur_state="99000")
    assert temperature_c(tmp_path) == 71.5


def test_time_of_day_is_local_and_unknown_before_this_program_was_made() -> None:
    berlin = timezone(timedelta(hours=2))
    assert time_of_day_s(datetime(2027, 6, 1, 23, 30, 5, tzinfo=berlin)) == 23.5 * 3600 + 5
    assert time_of_day_s(datetime(1970, 1, 1, 3, tzinfo=berlin)) is None
    assert time_of_day_s(datetime(2099, 1, 1, 3, tzinfo=berlin)) == 3 * 3600, "years ahead, and its nights still come"


def observer(tmp_path: Path, policy: Policy) -> Observer:
    clock = SteadyClock()
    return Observer(policy, tmp_path, clock, Spending(tmp_path / "day.json", clock, Counted), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("interface", "policy", "expected"),
    [
        ("wwan0", Policy(), True),
        ("eth1", Policy(), False),
        ("eth1", Policy(metered_interfaces=("usb*", "eth1")), True),
        ("wwan0", Policy(metered=False), False),
        ("eth1", Policy(metered=True), True),
    ],
)
def test_link_is_metered_as_configured_or_as_it_looks(
    tmp_path: Path,
    interface: str,
    policy: Policy,
    expected: bool,  # noqa: FBT001 - a row
) -> None:
    files(tmp_path, net__route=ROUTE_HEAD + route(interface, 0), class__net__wwan0__uevent="DEVTYPE=wwan\n")
    assert observer(tmp_path, policy).is_metered() is expected


def hook(folder: Path, script: str) -> tuple[str, ...]:
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return (str(path),)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", None),
        ("exit 75", "the busy hook says so (exit 75)"),
        ("kill -9 $$", "the busy hook says so (exit -9)"),
        ("sleep 30", "the busy hook gave no answer within 0.2 s"),
    ],
)
def test_busy_hook_allows_by_exit_code_0_alone(tmp_path: Path, script: str, expected: str | None) -> None:
    policy = Policy(busy_hook=hook(tmp_path, script), busy_timeout_s=0.2 if "sleep" in script else 10)
    seen = observer(tmp_path, policy).look(Conditions(), frozenset({Look.HOOK}), needs_bytes=int)
    assert (seen.busy, seen.looked) == (expected, frozenset({Look.HOOK}))


def test_busy_hook_that_is_not_there_does_not_allow(tmp_path: Path) -> None:
    policy = Policy(busy_hook=("/does/not/exist",))
    seen = observer(tmp_path, policy).look(Conditions(), frozenset({Look.HOOK}), needs_bytes=int)
    assert seen.busy == "the busy hook cannot be started (No such file or directory)"


def test_busy_hook_is_given_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFLEET_ENROLLMENT_TOKEN", "sfe_secret")
    policy = Policy(busy_hook=hook(tmp_path, f"env > {tmp_path}/env"))
    observer(tmp_path, policy).look(Conditions(), frozenset({Look.HOOK}), needs_bytes=int)
    assert "sfe_secret" not in (tmp_path / "env").read_text()


def test_only_what_is_asked_for_is_looked_at(tmp_path: Path) -> None:
    files(tmp_path, class__thermal__thermal_zone0__temp="50000")
    looks = frozenset({Look.TEMPERATURE, Look.DISK})
    seen = observer(tmp_path, Policy(busy_hook=("/does/not/exist",))).look(Conditions(), looks, needs_bytes=lambda: 7)
    assert seen.free_bytes is not None
    assert replace(seen, free_bytes=None) == Conditions(looked=looks, temperature_c=50, needs_bytes=7)


# The day's count.

BOOT, LATER = Instant("boot", 1000), Instant("boot", 5000)
MONDAY = Day("2027-03-01", BOOT, 0, Spent(500, 20))


@pytest.mark.parametrize(
    ("day", "date", "now", "spent"),
    [
        (MONDAY, "2027-03-01", LATER, 500),
        (MONDAY, "2027-03-02", LATER, 0),
        (MONDAY, "1970-01-01", Instant("next boot", 5), 500),
        (MONDAY, "1970-01-02", Instant("next boot", 24 * 3600), 500),
        (MONDAY, "1970-01-02", Instant("next boot", LONGEST_DAY_S), 0),
        (replace(MONDAY, date="2099-01-01"), "2027-03-01", LATER, 500),
        (replace(MONDAY, date="2099-01-01"), "2027-03-02", Instant("boot", 1000 + LONGEST_DAY_S), 0),
        (replace(MONDAY, ran_s=LONGEST_DAY_S - 60), "2027-03-01", Instant("next boot", 61), 0),
    ],
)
def test_day_ends_with_a_later_date_or_after_its_hours_of_running(
    day: Day, date: str, now: Instant, spent: int
) -> None:
    assert rolled(day, date=date, now=now).spent.any_bytes == spent


def test_short_runs_of_a_device_add_up_to_a_day() -> None:
    """Two hours a day, with a clock that starts in 1970 each time: the budget comes back."""
    day, refills = MONDAY, 0
    for boot in range(30):
        day = rolled(day, date="1970-01-01", now=Instant(f"boot {boot}", 0))
        ended = rolled(day, date="1970-01-01", now=Instant(f"boot {boot}", 7200))
        refills += ended.date != day.date or ended.ran_s < day.ran_s
        day = replace(ended, spent=Spent(500))
    assert refills == 2


class Meter:
    """What a client counted."""

    def __init__(self) -> None:
        self.received = 0

    def __call__(self) -> Counted:
        return Counted(self.received, 0, 0)


def test_count_survives_a_restart_and_is_charged_ahead(tmp_path: Path) -> None:
    path, clock, meter = tmp_path / "day.json", SteadyClock(), Meter()
    spending = Spending(path, clock, meter)
    spending.charge(100_000, metered=True)
    assert spending.today() == Spent(), "nothing came yet"
    killed = Spending(path, clock, Meter())
    assert killed.today().metered_bytes >= 100_000, (
        "but a process that is killed now has not spent less than it may have"
    )
    meter.received = 60_000
    spending.correct(metered=True)
    assert Spending(path, clock, Meter()).today() == spending.today() == Spent(60_000, 60_000)
    meter.received += 1000
    spending.correct(metered=False)
    assert Spending(path, clock, Meter()).today() == Spent(61_000, 60_000)


def test_small_talk_is_written_down_rarely(tmp_path: Path) -> None:
    path, meter = tmp_path / "day.json", Meter()
    spending = Spending(path, SteadyClock(), meter)
    for _poll in range(SAVE_BYTES // 300):
        meter.received += 300
        spending.count(metered=False)
    assert not path.exists()
    meter.received += 300
    spending.count(metered=False)
    written = read(path)
    assert written is not None
    assert written.spent.any_bytes == meter.received


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"date": 5}', b"\xff"])
def test_damaged_count_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "day.json"
    path.write_bytes(content)
    assert Spending(path, SteadyClock(), Meter()).today() == Spent()


def test_clock_knows_a_time_zone_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    offsets = []
    for zone in ("UTC0", "XXX-5"):
        monkeypatch.setenv("TZ", zone)
        offsets.append(clock.local().utcoffset())
    monkeypatch.undo()
    time.tzset()
    assert offsets == [timedelta(0), timedelta(hours=5)]
