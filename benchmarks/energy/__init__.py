"""Energy, by the best counter this device has, or none with the reason why."""

from benchmarks.energy.finding import find_meter
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.energy.summary import EnergyLog

__all__ = ["EnergyLog", "EnergyMeter", "EnergyUnreadable", "Source", "find_meter"]
