"""Identifiers of attempts and reports: random UUIDs (RFC 9562, version 4) in their usual form.

The `uuid` module makes the same, and a test holds the two together; with what it imports it would stay in the daemon with 270 KiB.
"""

import os
import re

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id() -> str:
    """A random UUID, as a text."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    digits = number.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def parse_id(value: object) -> str:
    """Narrow a value to a UUID in its usual form, which is safe in a file's name; upper case becomes lower case.

    Raises:
        ValueError: it is none.
    """
    text = str(value)[:40].lower()
    if not UUID.fullmatch(text):
        raise ValueError(f"expected a UUID, got {str(value)[:80]!r}")
    return text
