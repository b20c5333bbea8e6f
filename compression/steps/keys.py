"""What a key of a step may hold: a default, bounds or choices, and what it means. A recipe's reader, `--list` and the documentation read it here.

Each function makes the default of a dataclass field: `bits: int = whole(5, 1, 8, "bits of a code")`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_METADATA = "smallfleet.key"


@dataclass(frozen=True, slots=True)
class Key:
    """The rule of one key.

    Attributes:
        meaning: one line, with the unit.
        at_least, at_most: bounds of a number, both allowed; None: no bound.
        choices: the allowed texts; empty: any.
    """

    meaning: str
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """The allowed values, in words; empty where the type says all."""
        if self.choices:
            return ", ".join(self.choices)
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    def allows(self, value: object) -> bool:
        """Whether a value of the right type is allowed."""
        if self.choices and value not in self.choices:
            return False
        if not isinstance(value, int | float):
            return True
        # Written so that a NaN is within no bounds.
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def whole(default: int | None, at_least: int | None, at_most: int | None, meaning: str) -> Any:
    """A whole number within bounds."""
    return _field(default, Key(meaning, at_least, at_most))


def number(default: float | None, at_least: float | None, at_most: float | None, meaning: str) -> Any:
    """A number within bounds."""
    return _field(default, Key(meaning, at_least, at_most))


def choice(default: str, choices: tuple[str, ...], meaning: str) -> Any:
    """One of some texts."""
    return _field(default, Key(meaning, choices=choices))


def flag(meaning: str, *, default: bool) -> Any:
    """True or false."""
    return _field(default, Key(meaning))


def text(default: str | None, meaning: str) -> Any:
    """A text."""
    return _field(default, Key(meaning))


def listed(default: tuple[Any, ...], meaning: str, at_least: float | None = None, at_most: float | None = None) -> Any:
    """A list; bounds hold for each of its numbers."""
    return _field(default, Key(meaning, at_least, at_most))


def table(meaning: str, at_least: float | None = None, at_most: float | None = None) -> Any:
    """A table of values by name, empty by default; bounds hold for each of its numbers."""
    return dataclasses.field(default_factory=dict, metadata={_METADATA: Key(meaning, at_least, at_most)})


def key_of(field: "dataclasses.Field[Any]") -> Key:
    """The rule of a dataclass field that was made here; of any other field, one that allows everything."""
    found = field.metadata.get(_METADATA)
    return found if isinstance(found, Key) else Key("")


def _field(default: object, key: Key) -> Any:
    metadata: Mapping[str, Key] = {_METADATA: key}
    return dataclasses.field(default=default, metadata=metadata)
