"""The device as it was during a run: recorded, never changed. What may have slowed it down is `evidence`. Child side."""

import os
import platform
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.energy.sysfs import number, text
from benchmarks.evidence import NOT_IN_SYS, EvidenceLog
from benchmarks.report import Absent, Maybe

_CPU_FLAGS = frozenset(
    (
        *(
            "amx_bf16",
            "amx_int8",
            "asimd",
            "asimddp",
            "asimdhp",
            "avx",
            "avx2",
            "avx512_bf16",
            "avx512_vnni",
            "avx512f",
        ),
        *("avx_vnni", "bf16", "f16c", "fma", "i8mm", "neon", "sme", "sse4_2", "sve", "sve2"),
    )
)

# A report must stay small; a phone has eighty zones.
_MOST_ZONES = 8
_MOST_POLICIES = 8
_MAINS = frozenset({"Mains", "USB", "Wireless"})


@dataclass(frozen=True, slots=True)
class PowerSupply:
    """Where the device's power comes from: `source` now, and whether it has a supply other than its battery at all."""

    source: Maybe[Literal["mains", "battery"]]
    has_mains: bool


def before_run(root: Path = Path("/")) -> dict[str, Any]:
    """What must be read before the timed run: load and temperatures."""
    return {
        "load_avg_before": [round(value, 2) for value in os.getloadavg()],
        "thermal_before": _zone_temperatures(root),
    }


def environment_block(
    before: Mapping[str, Any],
    *,
    device_class: str | None,
    affinity: list[int],
    evidence: EvidenceLog,
    power: PowerSupply,
    root: Path = Path("/"),
) -> dict[str, Any]:
    """The report's environment block."""
    cpuinfo = _key_values(root / "proc/cpuinfo", ":")
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return {
        "device_class": device_class or Absent("the caller named none"),
        "board": _first_line(root / "proc/device-tree/model", root / "sys/class/dmi/id/product_name"),
        "soc": _first_line(root / "sys/devices/soc0/soc_id", root / "sys/devices/soc0/family"),
        "arch": platform.machine(),
        "cpu_model": cpuinfo.get("model name") or cpuinfo.get("Model") or Absent("/proc/cpuinfo names no model"),
        "cpu_flags_subset": sorted(_CPU_FLAGS.intersection(flags)),
        "cores_online": os.cpu_count() or Absent("the system does not say"),
        "affinity": affinity,
        "ram_total": _ram_bytes(root),
        "kernel": platform.release(),
        "os": _key_values(root / "etc/os-release", "=").get("PRETTY_NAME", "").strip('"') or Absent("no os-release"),
        "libc": " ".join(platform.libc_ver()).strip() or Absent("the C library does not say"),
        "virt": "hypervisor" if "hypervisor" in flags else Absent("no hypervisor flag in /proc/cpuinfo"),
        "cpufreq": _cpufreq(root),
        "power_mode": _power_mode(root),
        "power_source": power.source,
        "psu_undervolt": evidence.undervolt,
        "load_avg_before": before["load_avg_before"],
        "thermal_before": before["thermal_before"],
        "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
    }


def power_supply(root: Path = Path("/")) -> PowerSupply:
    """The supplies as the kernel lists them (Documentation/ABI/testing/sysfs-class-power); untested on hardware.

    A mouse's battery (scope `Device`) is no supply of this device. A battery that is neither discharging nor alone is on mains.
    """
    supplies = sorted((root / "sys/class/power_supply").glob("*"))
    batteries = [s for s in supplies if text(s / "type") == "Battery" and text(s / "scope") != "Device"]
    mains = [s for s in supplies if text(s / "type") in _MAINS]
    if not batteries:
        return PowerSupply(Absent("no battery"), has_mains=True)
    discharging = any(text(battery / "status") == "Discharging" for battery in batteries)
    return PowerSupply("battery" if discharging else "mains", has_mains=bool(mains))


def _power_mode(root: Path) -> Maybe[str]:
    """Jetson's nvpmodel or the firmware's platform profile. Untested on hardware.

    nvpmodel leaves `pmode:0002 fmode:quiet` for the next boot; Documentation/ABI/testing/sysfs-platform_profile has the other.
    """
    nvpmodel = re.search(r"pmode:(\w+)", text(root / "var/lib/nvpmodel/status"))
    if nvpmodel:
        return f"nvpmodel/{nvpmodel[1]}"
    profile = text(root / "sys/firmware/acpi/platform_profile")
    return f"platform_profile/{profile}" if profile else NOT_IN_SYS


def _ram_bytes(root: Path) -> int:
    return int(_key_values(root / "proc/meminfo", ":")["MemTotal"].split()[0]) * 1024


def _key_values(path: Path, separator: str) -> dict[str, str]:
    """The last value of each key in a file of `key<separator>value` lines; empty where the file is not there."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(separator) for line in lines)
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def _first_line(*paths: Path) -> Maybe[str]:
    for path in paths:
        try:
            text = path.read_text(errors="replace").strip("\0\n ")
        except OSError:
            continue
        if text:
            return text
    return Absent("the firmware does not say")


def _cpufreq(root: Path) -> Maybe[list[dict[str, Any]]]:
    """Each setting once, under the first policy that has it: a server has as many policies as CPUs, and one setting."""
    policies = sorted(
        (root / "sys/devices/system/cpu/cpufreq").glob("policy*"), key=lambda path: (len(path.name), path.name)
    )
    settings = [
        {
            "governor": _first_line(policy / "scaling_governor"),
            "driver": _first_line(policy / "scaling_driver"),
            "min_khz": _khz(policy / "scaling_min_freq"),
            "max_khz": _khz(policy / "scaling_max_freq"),
        }
        for policy in policies
    ]
    distinct = [
        {"policy": policy.name, **setting}
        for place, (policy, setting) in enumerate(zip(policies, settings, strict=True))
        if setting not in settings[:place]
    ]
    return distinct[:_MOST_POLICIES] or NOT_IN_SYS


def _khz(path: Path) -> Maybe[int]:
    found = number(path)
    return Absent("the driver does not say") if found is None else found


def _zone_temperatures(root: Path) -> Maybe[dict[str, float]]:
    """The hottest zones. One whose sensor is switched off answers with an error; the others still count."""
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    read = {f"{zone.name}:{text(zone / 'type')}": number(zone / "temp") for zone in zones}
    known = {name: value / 1000 for name, value in read.items() if value is not None}
    hottest = sorted(known, key=lambda name: known[name], reverse=True)[:_MOST_ZONES]
    return {name: known[name] for name in sorted(hottest)} or NOT_IN_SYS
