"""The device as it was during a run: recorded, never changed. Child side (psutil)."""

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

_NOT_READ = Absent("not read")


def before_run(root: Path = Path("/")) -> dict[str, Any]:
    """What must be read before the timed run: load and temperatures."""
    return {
        "load_avg_before": [round(value, 2) for value in os.getloadavg()],
        "thermal_before": _zone_temperatures(root),
        "throttle_counters": throttle_counters(root),
        "psi_some_us": psi_cpu_some_us(root),
    }


def environment_block(
    before: Mapping[str, Any], *, device_class: str | None, affinity: list[int], root: Path = Path("/")
) -> dict[str, Any]:
    """The report's environment block."""
    import psutil

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
        "ram_total": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "os": _key_values(root / "etc/os-release", "=").get("PRETTY_NAME", "").strip('"') or Absent("no os-release"),
        "libc": " ".join(platform.libc_ver()).strip() or Absent("the C library does not say"),
        "virt": "hypervisor" if "hypervisor" in flags else Absent("no hypervisor flag in /proc/cpuinfo"),
        "cpufreq": _cpufreq(root),
        "power_mode": _NOT_READ,
        "power_source": _power_source(psutil.sensors_battery()),
        "psu_undervolt": _NOT_READ,
        "load_avg_before": before["load_avg_before"],
        "psi_cpu_some_us_delta": _delta(before["psi_some_us"], psi_cpu_some_us(root)),
        "thermal_before": before["thermal_before"],
        "uptime_s": round(time.time() - psutil.boot_time()),
    }


def throttling_block(before: Mapping[str, Any], root: Path = Path("/")) -> dict[str, Any]:
    """Throttle evidence: the kernel's event counters, where the CPU has them."""
    delta = _delta(before["throttle_counters"], throttle_counters(root))
    unknown = isinstance(delta, Absent)
    return {
        "evidence": "unavailable" if unknown else "confirmed" if delta else "none",
        "core_throttle_count_delta": delta,
        "rpi_get_throttled": _NOT_READ,
        "temp_max_c": _NOT_READ,
        "freq_ratio_min": _NOT_READ,
    }


def throttle_counters(root: Path = Path("/")) -> Maybe[int]:
    """Thermal throttle events of all cores since boot (x86)."""
    paths = list((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    if not paths:
        return Absent("no throttle counters")
    return sum(int(path.read_text()) for path in paths)


def psi_cpu_some_us(root: Path = Path("/")) -> Maybe[int]:
    """Microseconds in which some task waited for a CPU (pressure stall information), since boot."""
    try:
        line = (root / "proc/pressure/cpu").read_text().splitlines()[0]
        return int(line.rsplit("total=", 1)[1])
    except (OSError, IndexError, ValueError) as error:
        return Absent(f"no pressure stall information: {type(error).__name__}")


def _delta(before: Maybe[int], after: Maybe[int]) -> Maybe[int]:
    if isinstance(before, Absent):
        return before
    return after if isinstance(after, Absent) else after - before


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
    policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    if not policies:
        return Absent("no cpufreq in /sys")
    return [
        {
            "policy": policy.name,
            "governor": _first_line(policy / "scaling_governor"),
            "driver": _first_line(policy / "scaling_driver"),
            "min_khz": _khz(policy / "scaling_min_freq"),
            "max_khz": _khz(policy / "scaling_max_freq"),
        }
        for policy in policies
    ]


def _khz(path: Path) -> Maybe[int]:
    text = _first_line(path)
    return text if isinstance(text, Absent) else int(text)


def _zone_temperatures(root: Path) -> Maybe[dict[str, float]]:
    temperatures = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        try:
            temperatures[f"{zone.name}:{(zone / 'type').read_text().strip()}"] = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):
            continue  # a zone whose sensor is switched off answers with an error; the others still count
    return temperatures or Absent("no thermal zone can be read")


def _power_source(battery: Any) -> Maybe[str]:
    if battery is None:
        return Absent("no battery")
    return "mains" if battery.power_plugged else "battery"
