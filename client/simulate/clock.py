"""Virtual time: a device's own clock, and when its link is there."""

import math
import random
from datetime import datetime, timedelta

from agent.clock import Clock, Instant
from client.simulate.links import LinkProfile

BOOT_ID = "simulated"


class VirtualClock(Clock):
    """A clock that goes on only by `advance`, with randomness from a seed. `epoch` is what people read at its second 0."""

    def __init__(self, epoch: datetime, draw: random.Random) -> None:
        self._epoch = epoch
        self._draw = draw
        self.at_s = 0.0

    def now(self) -> Instant:
        return Instant(BOOT_ID, self.at_s)

    def wall_time(self) -> str:
        moment = self._epoch + timedelta(seconds=self.at_s)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def uniform(self, low: float, high: float) -> float:
        return self._draw.uniform(low, high)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at_s += seconds


class Coverage:
    """When a device is in reach: times within and without take turns, each of exponential length.

    Asked for moments that never go back. Out of reach at the start with the share that holds at every later moment.
    """

    __slots__ = ("_draw", "_mean_in_s", "_mean_out_s", "_out", "_until_s")

    def __init__(self, profile: LinkProfile, draw: random.Random) -> None:
        self._draw = draw
        self._mean_out_s = profile.offline_s
        share = profile.offline
        self._mean_in_s = math.inf if share == 0 else profile.offline_s * (1 - share) / share
        self._out = draw.random() < share
        self._until_s = self._length_s()

    def is_out(self, at_s: float) -> bool:
        """Whether the device is out of reach."""
        self._move(at_s)
        return self._out

    def reach_left_s(self, at_s: float) -> float:
        """For how long it stays in reach."""
        self._move(at_s)
        return 0.0 if self._out else self._until_s - at_s

    def _move(self, at_s: float) -> None:
        while at_s >= self._until_s:
            self._out = not self._out
            self._until_s += self._length_s()

    def _length_s(self) -> float:
        mean_s = self._mean_out_s if self._out else self._mean_in_s
        return math.inf if mean_s == math.inf else self._draw.expovariate(1 / mean_s)
