"""What the machine is like at this moment, as far as a rule of `[policy]` asks: from /sys, /proc, the clock and the day's count.

Only what a rule in force needs is looked at. What cannot be read, or is plainly nonsense, is `None`: a rule about a battery
means nothing on a machine that has none.
"""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agent import children, disk
from agent.clock import Clock
from agent.config import Policy
from agent.spending import Spending

# A wall clock before this moment was never set: it is older than this program.
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
# DEVTYPE of network devices that are cellular modems (drivers/net/usb/usbnet.c, FLAG_WWAN; drivers/net/wwan/wwan_core.c),
# and the hardware types ARPHRD_PPP and ARPHRD_RAWIP of include/uapi/linux/if_arp.h.
WWAN_DEVTYPE = "DEVTYPE=wwan"
METERED_TYPES = frozenset({"512", "519"})
# Broken sensors answer with their register's end; what is outside is no temperature of a machine that runs.
PLAUSIBLE_C = (-40.0, 150.0)
GO = 0

log = logging.getLogger(__name__)


class Look(StrEnum):
    """One thing that can be looked at."""

    CLOCK = "clock"
    LINK = "link"
    DAY = "day"
    DISK = "disk"
    BATTERY = "battery"
    TEMPERATURE = "temperature"
    HOOK = "hook"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was seen. Only what is `looked` at counts; the rest is not known yet.

    Attributes:
        looked: what this knows about.
        time_of_day_s: seconds since the local midnight; `None` while the clock cannot be believed.
        is_metered: whether the link is paid by the byte.
        today_bytes, metered_today_bytes: HTTP bytes of this day, over all links and over metered ones.
        free_bytes, needs_bytes: what the disk still takes, and what the step will take of it.
        battery_percent: charge of a battery that runs down; `None` on other power.
        temperature_c: the hottest sensor.
        busy: why the owner's executable says "not now"; `None` when it does not.
    """

    looked: frozenset[Look] = frozenset()
    time_of_day_s: float | None = None
    is_metered: bool = False
    today_bytes: int = 0
    metered_today_bytes: int = 0
    free_bytes: int | None = None
    needs_bytes: int = 0
    battery_percent: float | None = None
    temperature_c: float | None = None
    busy: str | None = None


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks at the machine for the rules of one policy. The roots are parameters for tests alone."""

    policy: Policy
    state_dir: Path
    clock: Clock
    spending: Spending
    sys_root: Path = Path("/sys")
    proc_root: Path = Path("/proc")

    def look(self, seen: Conditions, looks: frozenset[Look], *, needs_bytes: Callable[[], int]) -> Conditions:
        """Add what is asked for; `needs_bytes` says what the step will take of the disk."""
        for one in sorted(looks):
            seen = replace(seen, looked=seen.looked | {one}, **self._found(one, needs_bytes))
        return seen

    def _found(self, look: Look, needs_bytes: Callable[[], int]) -> dict[str, Any]:
        match look:
            case Look.CLOCK:
                return {"time_of_day_s": time_of_day_s(self.clock.local())}
            case Look.LINK:
                return {"is_metered": self.is_metered()}
            case Look.DAY:
                spent = self.spending.today()
                return {"today_bytes": spent.any_bytes, "metered_today_bytes": spent.metered_bytes}
            case Look.DISK:
                return {"free_bytes": disk.free_bytes(self.state_dir), "needs_bytes": needs_bytes()}
            case Look.BATTERY:
                return {"battery_percent": battery_percent(self.sys_root)}
            case Look.TEMPERATURE:
                return {"temperature_c": temperature_c(self.sys_root)}
            case Look.HOOK:
                return {"busy": self._busy()}

    def is_metered(self) -> bool:
        """Whether the link is metered: as configured, or else as the interface of the default route looks."""
        if self.policy.metered is not None:
            return self.policy.metered
        interface = default_interface(self.proc_root)
        return interface is not None and (
            any(fnmatchcase(interface, pattern) for pattern in self.policy.metered_interfaces)
            or is_modem(self.sys_root, interface)
        )

    def _busy(self) -> str | None:
        """Ask the owner's executable. One that fails or hangs says "not now" too: its owner meant it to be asked."""
        try:
            ended = children.run(self.policy.busy_hook, timeout_s=self.policy.busy_timeout_s)
        except OSError as error:
            log.warning("busy_hook_failed", extra={"why": str(error)})
            return f"the busy hook cannot be started ({error.strerror})"
        if ended.returncode == GO:
            return None
        log.info("busy", extra={"exit_code": ended.returncode, "printed": ended.stderr_end[-200:]})
        if ended.returncode is None:
            return f"the busy hook gave no answer within {self.policy.busy_timeout_s:g} s"
        return f"the busy hook says so (exit {ended.returncode})"


def time_of_day_s(local: datetime) -> float | None:
    """Seconds since the local midnight; `None` while the clock stands before this program was made."""
    if local < EARLIEST:
        return None
    return local.hour * 3600.0 + local.minute * 60.0 + local.second


def default_interface(proc_root: Path = Path("/proc")) -> str | None:
    """The interface of the best default route, IPv4 before IPv6; `None` without one."""
    return _best_default_v4(proc_root) or _best_default_v6(proc_root)


def _best_default_v4(proc_root: Path) -> str | None:
    """From /proc/net/route: columns Iface, Destination, ..., Metric (6), Mask (7), all numbers but the metric in hex."""
    rows = [line.split() for line in _lines(proc_root / "net/route")[1:]]
    found = [(int(row[6]), row[0]) for row in rows if len(row) >= 8 and row[1] == row[7] == "00000000"]
    return min(found)[1] if found else None


def _best_default_v6(proc_root: Path) -> str | None:
    """From /proc/net/ipv6_route: destination and its length first, the metric (5) in hex, the interface last."""
    rows = [line.split() for line in _lines(proc_root / "net/ipv6_route")]
    wanted = [row for row in rows if len(row) == 10 and row[:2] == ["0" * 32, "00"] and row[9] != "lo"]
    return min((int(row[5], 16), row[9]) for row in wanted)[1] if wanted else None


def is_modem(sys_root: Path, interface: str) -> bool:
    """Whether a network interface is a cellular modem or a dialled line."""
    folder = sys_root / "class/net" / interface
    return WWAN_DEVTYPE in _lines(folder / "uevent") or _text(folder / "type") in METERED_TYPES


def battery_percent(sys_root: Path = Path("/sys")) -> float | None:
    """The fullest battery of the machine while one of them runs down; `None` on other power, or without a battery.

    Source: Documentation/ABI/testing/sysfs-class-power. Batteries of mice and the like have `scope` Device.
    """
    supplies = [path for path in _members(sys_root / "class/power_supply") if _text(path / "scope") != "Device"]
    batteries = [path for path in supplies if _text(path / "type") == "Battery"]
    if not any(_text(path / "status") == "Discharging" for path in batteries):
        return None
    charges = [charge for path in batteries if (charge := _charge_percent(path)) is not None]
    return max(charges, default=None)


def _charge_percent(battery: Path) -> float | None:
    capacity = _number(battery / "capacity")
    if capacity is not None:
        return capacity
    for kind in ("energy", "charge"):
        now, full = _number(battery / f"{kind}_now"), _number(battery / f"{kind}_full")
        if now is not None and full:
            return min(100.0, 100.0 * now / full)
    return None


def temperature_c(sys_root: Path = Path("/sys")) -> float | None:
    """The hottest thermal zone that can be read; its `temp` is in millidegrees (Documentation/ABI/testing/sysfs-class-thermal)."""
    zones = (path for path in _members(sys_root / "class/thermal") if path.name.startswith("thermal_zone"))
    found = (millidegrees / 1000 for path in zones if (millidegrees := _number(path / "temp")) is not None)
    return max((degrees for degrees in found if PLAUSIBLE_C[0] <= degrees <= PLAUSIBLE_C[1]), default=None)


def _members(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _lines(path: Path) -> list[str]:
    return (_text(path) or "").splitlines()


def _text(path: Path) -> str | None:
    """A small file of the kernel; `None` when it is not there or its driver gives an error."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    try:
        number = float(_text(path) or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
