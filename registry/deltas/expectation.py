"""What a patch that is not built yet will weigh, and how long it will take: by measured ones that are alike, else by a stated prior. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

NEWEST = 20
"""So many of the newest alike pairs are asked: a line's weights, and the encoder, change over the years."""

# Priors of the size. Of a packed file a share of the plain one, of a delta a share of the packed one, which is known by then.
PRIOR_PACKED = 0.905
"""fp32 with no base: sign and exponent cost 3.6 bits, the mantissa is nearly random. Smaller forms do better."""
PRIOR_SAME_WEIGHTS = 0.10
"""A smaller form of weights that are there, in one version: int8 from fp32 took .02 to .08, fp16 less."""
PRIOR_SAME_VARIANT = 0.88
"""A fine-tune: .87 of fp32 whose every weight changed, .48 of int8 on new scales; retrained from scratch it is no better than packed."""
PRIOR_SAME_LINE = 0.95
"""Anything else within a line: low enough that one pair of a kind is tried, and the next ones judged by it."""
PRIOR_OTHER_LINE = 1.0
"""Nothing says that the weights of another line help, until one such patch was measured."""
PRIOR_MORE_EFFORT = 0.98
"""What `max` leaves of a patch that was made with less."""

PRIOR_START_S = 1.0
PRIOR_S_PER_MB = {"max": 1.0, "fast": 0.05}
"""Per 10^6 bytes of base and target together, on one core, with the proof: 0.8 to 0.95 and 0.02 to 0.04 on 19 MB of fp32."""
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Kind:
    """What an artifact is: a variant's name in a version of a line."""

    line: int
    version: int
    variant: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """Pairs of one likeness are expected to do alike: same lines, same variants' names, within one version or not.

    Attributes:
        base: line and variant; None of a packed file.
    """

    base: tuple[int, str] | None
    target: tuple[int, str]
    is_same_version: bool


def likeness(base: Kind | None, target: Kind) -> Likeness:
    """What this pair is alike to."""
    return Likeness(
        None if base is None else (base.line, base.variant),
        (target.line, target.variant),
        base is not None and base.version == target.version,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """A patch that was made, kept or not. `build_s` counts encoding and proof; None where nobody measured it."""

    likeness: Likeness
    effort: str
    input_bytes: int
    target_bytes: int
    patch_bytes: int
    build_s: float | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a patch will weigh and take; `alike` is how many measured pairs say so, 0 that it is the prior."""

    size_bytes: int
    build_s: float
    alike: int


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """A pair to be judged; `packed_bytes` is what a delta competes with."""

    base: Kind | None
    base_bytes: int
    target: Kind
    target_bytes: int
    effort: str
    packed_bytes: int = 0


class History:
    """The measured patches, newest first."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._alike: defaultdict[Likeness, list[Measured]] = defaultdict(list)
        self._by_effort: defaultdict[str, list[Measured]] = defaultdict(list)
        for one in measured:
            self._alike[one.likeness].append(one)
            self._by_effort[one.effort].append(one)

    def expect(self, pair: Unbuilt) -> Expected:
        """The median share and speed of the alike pairs; those of another effort count for the share where there is none of this one."""
        alike = self._alike.get(likeness(pair.base, pair.target), [])
        same_effort = [one for one in alike if one.effort == pair.effort]
        witnesses = (same_effort or alike)[:NEWEST]
        shares = [one.patch_bytes / one.target_bytes for one in witnesses]
        size_bytes = median(shares) * pair.target_bytes if shares else _prior_bytes(pair)
        return Expected(round(size_bytes), self._build_s(pair, same_effort), len(witnesses))

    def expect_again(self, pair: Unbuilt, size_bytes: int) -> Expected:
        """The same, of a pair that has a patch of `size_bytes` made with another effort."""
        alike = self._alike.get(likeness(pair.base, pair.target), [])
        same_effort = [one for one in alike if one.effort == pair.effort]
        if same_effort:
            expected = self.expect(pair)
            return Expected(min(expected.size_bytes, size_bytes), expected.build_s, expected.alike)
        return Expected(round(PRIOR_MORE_EFFORT * size_bytes), self._build_s(pair, []), 0)

    def _build_s(self, pair: Unbuilt, alike: Sequence[Measured]) -> float:
        """By the alike pairs' speed, else by any pair's of this effort, else by the prior."""
        input_bytes = pair.base_bytes + pair.target_bytes
        for witnesses in (alike, self._by_effort.get(pair.effort, [])):
            speeds = [one.build_s / one.input_bytes for one in witnesses[:NEWEST] if one.build_s is not None]
            if speeds:
                return round(median(speeds) * input_bytes, 3)
        return round(PRIOR_START_S + PRIOR_S_PER_MB[pair.effort] * input_bytes / _MB, 3)


def _prior_bytes(pair: Unbuilt) -> float:
    base, target = pair.base, pair.target
    if base is None:
        return PRIOR_PACKED * pair.target_bytes
    if base.line != target.line:
        return PRIOR_OTHER_LINE * pair.packed_bytes
    if base.version == target.version and pair.target_bytes < pair.base_bytes:
        return PRIOR_SAME_WEIGHTS * pair.packed_bytes
    return (PRIOR_SAME_VARIANT if base.variant == target.variant else PRIOR_SAME_LINE) * pair.packed_bytes
