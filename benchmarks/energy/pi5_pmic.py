"""The power management chip of a Raspberry Pi 5: volts and amperes of its twelve rails, asked of the firmware.

What `vcgencmd pmic_read_adc` prints, without starting it: one property message through /dev/vcio (raspberrypi/utils, vcgencmd/vcgencmd.c),
which the group `video` may open. A Pi 4 and older answer with an error, having no such converter.

The rails are not the board: regulator losses, the 5 V of USB ports and of HATs are missing. One board's fit against a USB meter is
1.1451 times the sum plus 0.5879 W (jfikar/RPi5-power); it is not applied, since it is one board's.
"""

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.report import Absent

_COMMAND = b"pmic_read_adc"
_GET_GENCMD_RESULT = 0x00030080
_STRING_BYTES = 1024
_HEADER = struct.Struct("=6I")  # size, request, tag, value's size, request's length, error or length of the answer
_END = struct.Struct("=I")
# _IOWR(100, 0, char *): asm-generic/ioctl.h
_MESSAGE = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8
# How often the converter renews its registers is documented nowhere.
_INTERVAL_S = 0.1
_MIN_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Pi5Pmic:
    """The firmware's device."""

    source: Source
    device: Path

    def read(self) -> tuple[int, ...]:
        """Microwatts of each rail."""
        return rails_uw(_ask(self.device))


def find(root: Path) -> EnergyMeter | Absent:
    """The firmware of a Raspberry Pi; whether it measures rails is known when it is read."""
    device = root / "dev/vcio"
    if not device.exists():
        return Absent("no Raspberry Pi firmware")
    source = Source("pmic", 3, "rails", "pmic_read_adc", interval_s=_INTERVAL_S, min_window_s=_MIN_WINDOW_S)
    return Pi5Pmic(source, device)


def _ask(device: Path) -> str:
    size = _HEADER.size + _STRING_BYTES + _END.size
    message = bytearray(size)
    _HEADER.pack_into(message, 0, size, 0, _GET_GENCMD_RESULT, _STRING_BYTES, 0, 0)
    message[_HEADER.size : _HEADER.size + len(_COMMAND)] = _COMMAND
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _MESSAGE, message)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise EnergyUnreadable(f"{device} cannot be asked: {error.strerror}") from error
    text = bytes(message[_HEADER.size : _HEADER.size + _STRING_BYTES])
    return text.partition(b"\0")[0].decode(errors="replace")


def rails_uw(text: str) -> tuple[int, ...]:
    """Power of each rail from lines such as `VDD_CORE_A current(7)=0.75012000A` and `VDD_CORE_V volt(15)=0.89745940V`.

    Raises:
        EnergyUnreadable: there is no rail, or one with a current and no voltage, as in an answer that was cut off.
    """
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for line in text.splitlines():
        name, _, reading = line.strip().partition(" ")
        _, found, value = reading.partition("=")
        kept = {"A": amperes, "V": volts}.get(name[-1:])
        if found and kept is not None:
            kept[name[:-2]] = _number(value.strip().rstrip("AV"), text)
    if not amperes:
        raise EnergyUnreadable(f"the firmware measures no rails: {text[:80].strip()}")
    lonely = sorted(amperes.keys() - volts.keys())
    if lonely:
        raise EnergyUnreadable(f"the firmware gave no voltage of {', '.join(lonely)}")
    return tuple(round(amperes[rail] * volts[rail] * 1e6) for rail in amperes)


def _number(text: str, answer: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise EnergyUnreadable(f"the firmware's answer makes no sense: {answer[:80].strip()}") from error
    if not abs(value) < 1000:
        raise EnergyUnreadable(f"the firmware showed {text}")
    return value
