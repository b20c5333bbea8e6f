"""What the machine is, as attributes for the server: `python -m agent.facts` prints them as one JSON object.

A child of its own, since psutil stays out of the idle daemon. Only what does not change while the machine runs: each
change of a fact costs the device one POST.
"""

import importlib.metadata
import json
import platform
import re
import sys
from pathlib import Path

MIB = 1 << 20
CPU_MODEL = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
BOARD_MODEL = Path("/proc/device-tree/model")


def collect() -> dict[str, str]:
    """Facts of this machine; one that cannot be found out is left out."""
    import psutil

    found = {
        "arch": platform.machine(),
        "os": platform.system().lower(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_model": _cpu_model(),
        "cpu_count": str(psutil.cpu_count() or ""),
        "ram_mib": str(psutil.virtual_memory().total // MIB),
        "board": _board(),
        "onnxruntime": _version_of("onnxruntime"),
    }
    return {name: value[:200] for name, value in found.items() if value}


def _cpu_model() -> str:
    match = CPU_MODEL.search(Path("/proc/cpuinfo").read_text(errors="replace"))
    return match[1].strip() if match else ""


def _board() -> str:
    return BOARD_MODEL.read_text(errors="replace").rstrip("\0").strip() if BOARD_MODEL.is_file() else ""


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main() -> int:
    """Print the facts."""
    sys.stdout.write(json.dumps(collect()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
