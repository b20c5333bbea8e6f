"""Binary arithmetic coding: bits and their probabilities to bytes, without carries.

The interval is kept in 32 bits and its settled high byte shifted out, as in Mahoney's lpaq1
(http://mattmahoney.net/dc/dce.html, section 3.2). Encoder and decoder have the same `code`, so one model drives both.
"""

from typing import Protocol

from delta.errors import PatchMalformed
from delta.text.logistic import PROBABILITY_BITS

_TOP = 0xFF000000
_ALL = 0xFFFFFFFF
_STATE_BYTES = 4


class BitCoder(Protocol):
    """Codes one bit at a time; `probability` of a one is in units of 1/65536, between 1 and 65535."""

    def code(self, probability: int, bit: int) -> int:
        """Encodes `bit` and gives it back; or decodes one, whatever `bit` is."""


class BitEncoder:
    """Bits to bytes."""

    def __init__(self) -> None:
        self._low, self._high = 0, _ALL
        self._coded = bytearray()

    def code(self, probability: int, bit: int) -> int:
        middle = self._low + ((self._high - self._low) * probability >> PROBABILITY_BITS)
        if bit:
            self._high = middle
        else:
            self._low = middle + 1
        while not (self._low ^ self._high) & _TOP:
            self._coded.append(self._high >> 24)
            self._low, self._high = self._low << 8 & _ALL, self._high << 8 & _ALL | 0xFF
        return bit

    def finish(self) -> bytes:
        """All bytes: one more settles the last bits, whatever a decoder takes to follow it."""
        return bytes(self._coded) + bytes([(self._low >> 24) + 1])


class BitDecoder:
    """Bytes to bits. What follows the last byte counts as zeros, of which it looks ahead three."""

    def __init__(self, coded: bytes) -> None:
        self._low, self._high = 0, _ALL
        self._coded = coded + bytes(_STATE_BYTES - 1)
        self._at = _STATE_BYTES
        self._value = int.from_bytes(self._coded[:_STATE_BYTES], "big")

    def code(self, probability: int, bit: int) -> int:
        """The next bit.

        Raises:
            PatchMalformed: the bytes end before.
        """
        middle = self._low + ((self._high - self._low) * probability >> PROBABILITY_BITS)
        bit = int(self._value <= middle)
        if bit:
            self._high = middle
        else:
            self._low = middle + 1
        while not (self._low ^ self._high) & _TOP:
            if self._at >= len(self._coded):
                raise PatchMalformed("a text ends before its last byte")
            self._low, self._high = self._low << 8 & _ALL, self._high << 8 & _ALL | 0xFF
            self._value = self._value << 8 & _ALL | self._coded[self._at]
            self._at += 1
        return bit

    @property
    def exhausted(self) -> bool:
        """Whether all bytes were taken."""
        return self._at == len(self._coded)
