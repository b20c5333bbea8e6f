"""Taking values out of a TOML table by type, so that each wrong one is named and none is left unread."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.errors import WrongConfiguration

ATTRIBUTE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
# The server takes 64; the rest is for the facts of the machine.
MAX_ATTRIBUTES = 48


class Table:
    """One TOML table whose values are taken out by type; what is left over at the end is an unknown key."""

    def __init__(self, prefix: str, document: Mapping[str, Any]) -> None:
        self._prefix = prefix
        self._left = dict(document)
        self._known: set[str] = set()

    def _pop(self, key: str) -> Any:
        self._known.add(key)
        return self._left.pop(key, None)

    def wrong(self, key: str, problem: str) -> WrongConfiguration:
        return WrongConfiguration(self._prefix + key, problem)

    def text(self, key: str, default: str | None = None, *, most: int = 1000) -> str:
        value = self._pop(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            raise self.wrong(key, f"must be a text of 1 to {most} characters, is {value!r}")
        return value

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        value = self._pop(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(key, f"must be a number from {least:g} to {most:g}, is {value!r}")
        return float(value)

    def optional_number(self, key: str, *, least: float, most: float) -> float | None:
        return self.number(key, least, least=least, most=most) if self.has(key) else None

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        value = self.number(key, default, least=least, most=most)
        if value != int(value):
            raise self.wrong(key, f"must be a whole number, is {value!r}")
        return int(value)

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self._pop(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, is {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._pop(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.wrong(key, f"must be a list of texts, is {value!r}")
        return tuple(value)

    def command(self, key: str) -> tuple[str, ...]:
        """A program by its absolute path, and its arguments; nothing searches for it."""
        command = self.texts(key)
        if command and not command[0].startswith("/"):
            raise self.wrong(key, f"must begin with an absolute path, is {command[0]!r}")
        return command

    def has(self, key: str) -> bool:
        """Whether the table has a value that was not taken yet."""
        self._known.add(key)
        return key in self._left

    def is_text(self, key: str) -> bool:
        """Whether that value is a text."""
        return isinstance(self._left.get(key), str)

    def table(self, key: str) -> "Table":
        value = self._pop(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, f"must be a table, is {value!r}")
        return Table(f"{self._prefix}{key}.", value or {})

    def text_values(self) -> dict[str, str]:
        """Take everything that is left, as a mapping of texts that the server's attributes may be."""
        if len(self._left) > MAX_ATTRIBUTES:
            raise WrongConfiguration(self._prefix.rstrip("."), f"at most {MAX_ATTRIBUTES} attributes")
        for key, value in self._left.items():
            if not ATTRIBUTE_KEY.fullmatch(key):
                raise self.wrong(key, "must be a letter, then at most 62 letters, digits, '.', '_' or '-'")
            if not isinstance(value, str) or len(value) > 200:
                raise self.wrong(key, f"must be a text of at most 200 characters, is {value!r}")
        taken, self._left = self._left, {}
        return taken

    def finish(self) -> None:
        for key in self._left:
            raise self.wrong(key, f"is no key that the agent knows{_near(key, self._known)}")


def _near(key: str, known: Iterable[str]) -> str:
    """The key that was probably meant."""
    import difflib  # here, since only who mistyped a key needs it

    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
