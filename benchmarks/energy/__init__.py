"""Energy, by the best meter this device has, or none with the reason why. One file per kind of meter, behind `EnergyMeter`."""

from benchmarks.energy.finding import find_meter
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.energy.summary import EnergyLog

__all__ = ["EnergyLog", "EnergyMeter", "EnergyUnreadable", "Source", "find_meter"]
