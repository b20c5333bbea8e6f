"""Floating-point formats that weights come in, and the way from one to another, the same on every processor.

Rounding is to nearest, ties to even, which IEEE 754 fixes. It leaves open what a NaN's payload becomes, so that has a
rule here: every NaN that is converted becomes the positive quiet one without payload.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, Octets

FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = range(4)
"""By their number in the format."""
WIDTHS = (2, 2, 4, 8)
"""In bytes."""

_NUMPY: dict[int, np.dtype[Any]] = {FLOAT16: np.dtype("<f2"), FLOAT32: np.dtype("<f4"), FLOAT64: np.dtype("<f8")}
_QUIET = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}
_QUIET_BFLOAT16 = 0x7FC0

Floats = npt.NDArray[Any]
"""float16, float32 or float64; bfloat16 is held as the float32 of the same value."""


def read(plain: Octets, kind: int) -> Floats:
    """The numbers in bytes of that kind."""
    if kind == BFLOAT16:
        patterns = plain.view("<u2").astype(np.uint32)
        return (patterns << np.uint32(16)).view(np.float32)
    return plain.view(_NUMPY[kind])


def rounded(numbers: Floats, kind: int) -> Items:
    """The nearest numbers of that kind, as items of its width: bfloat16 as patterns."""
    if kind == BFLOAT16:
        return _nearest_bfloat16(numbers)
    if numbers.dtype == _NUMPY[kind]:
        return numbers
    with np.errstate(all="ignore"):
        converted = numbers.astype(_NUMPY[kind])
    strange = np.isnan(numbers)
    if strange.any():
        converted.view(f"<u{converted.itemsize}")[strange] = _QUIET[converted.itemsize]
    return converted


def truncated(numbers: Floats) -> Items:
    """Patterns of bfloat16: the upper half of each float32, NaNs apart."""
    single = rounded(numbers, FLOAT32)
    upper = (single.view("<u4") >> np.uint32(16)).astype("<u2")
    upper[np.isnan(single)] = _QUIET_BFLOAT16
    return upper


def clipped(numbers: Floats, tiny: np.float32, huge: np.float32) -> Floats:
    """Finite numbers with their magnitude in `tiny` to `huge`, zeros as they are.

    As ONNX Runtime's converter does before it rounds to float16 (onnxruntime/transformers/float16.py,
    `convert_np_to_float16`).
    """
    changed = numbers.copy()
    with np.errstate(all="ignore"):
        size = np.abs(numbers)
        for strange, bound in (((size > 0) & (size < tiny), tiny), ((size > huge) & (size < np.inf), huge)):
            changed[strange] = np.copysign(bound, numbers[strange])
    return changed


def quiet(numbers: Floats) -> Floats:
    """The same with every NaN replaced by the one without sign and payload; in place."""
    strange = np.isnan(numbers)
    if strange.any():
        numbers.view(f"<u{numbers.itemsize}")[strange] = _QUIET[numbers.itemsize]
    return numbers


def _nearest_bfloat16(numbers: Floats) -> Items:
    single = rounded(numbers, FLOAT32)
    bits = single.view("<u4")
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    upper: Items = ((bits.astype("<u8") + half) >> np.uint64(16)).astype("<u2")
    upper[np.isnan(single)] = _QUIET_BFLOAT16
    return upper


def is_finite(bits: int) -> bool:
    """Whether the integer is the pattern of a float32 that is neither infinite nor no number."""
    return bits < 1 << 32 and bits & _EXPONENT != _EXPONENT


_EXPONENT = 0x7F800000
