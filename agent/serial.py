"""The serial on this machine's label, as far as the firmware tells it; only read where the configuration names none."""

from collections.abc import Iterable
from pathlib import Path

MAX_LENGTH = 100
# Boards with a device tree (Linux's Documentation/devicetree: the property ends with a NUL), then machines with DMI, where only root may read it.
SOURCES = (Path("/proc/device-tree/serial-number"), Path("/sys/class/dmi/id/product_serial"))


def found_serial(sources: Iterable[Path] = SOURCES) -> str:
    """The first serial that is there and readable; empty when none is, or it says nothing."""
    for source in sources:
        try:
            text = source.read_bytes().decode("ascii", errors="ignore").strip("\0 \n")
        except OSError:
            continue
        if text and text.isprintable():
            return text[:MAX_LENGTH]
    return ""
