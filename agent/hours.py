"""Hours of the local day, such as `22:00-06:00`."""

import re
from dataclasses import dataclass
from typing import Self

DAY_S = 86_400.0
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start_s` (included) to `end_s` (excluded), both seconds after midnight; over midnight when it ends earlier."""

    start_s: float
    end_s: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HH:MM-HH:MM`.

        Raises:
            ValueError: it is none, or empty.
        """
        matched = _SPAN.fullmatch(text)
        if matched is None:
            raise ValueError('must be hours like "22:00-06:00"')
        numbers = [int(digits) for digits in matched.groups()]
        hours = cls(numbers[0] * 3600.0 + numbers[1] * 60.0, numbers[2] * 3600.0 + numbers[3] * 60.0)
        if hours.start_s == hours.end_s:
            raise ValueError("must not begin and end at the same minute")
        return hours

    def __str__(self) -> str:
        return "-".join(f"{int(at_s) // 3600:02d}:{int(at_s) // 60 % 60:02d}" for at_s in (self.start_s, self.end_s))

    def contain(self, at_s: float) -> bool:
        """Whether a time of day lies in these hours."""
        return (at_s - self.start_s) % DAY_S < (self.end_s - self.start_s) % DAY_S

    def starts_in_s(self, at_s: float) -> float:
        """Seconds until they begin next."""
        return (self.start_s - at_s) % DAY_S

    def end_in_s(self, at_s: float) -> float:
        """Seconds until they end next."""
        return (self.end_s - at_s) % DAY_S
