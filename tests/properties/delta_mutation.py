"""Patches that are damaged with knowledge of the format, so that the damage lies deeper than a wrong size.

`python -m tests.properties.delta_mutation SEED COUNT SPECIMENS FOLDER` applies that many, made from the specimens that
`save` put there, in a process that may take little more memory than it has, and prints what came of it as JSON. A patch
that ends otherwise than it may is left in FOLDER. Nothing but the decoder's own needs is imported, so that the peak of
memory is the decoder's.
"""

import json
import os
import random
import resource
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import numpy as np

from delta import decoder, format_v1, varints
from delta import format as container_format
from delta.coders import CODERS, zstd
from delta.contexts import ContextModel
from delta.entropy.stream import HEADER as CODED_HEADER
from delta.errors import DeltaError, MemoryExhausted
from delta.formulas import Formula
from delta.limits import MIB, Limits
from delta.streams import BLOCK_HEADER, BLOCKS, CODED

LIMITS = Limits(output_bytes=MIB, wall_s=5)
ADDRESS_SPACE_SLACK_BYTES = 160 * MIB
"""What may be mapped beyond what the process had: the buffers, windows and index that `LIMITS` allow."""
_STREAM_FIELDS = 5
_HEADER_FIELDS = {
    "version": (8, "<H"),
    "flags": (10, "<H"),
    "window_bytes": (12, "<I"),
    "base_size": (16, "<Q"),
    "target_size": (56, "<Q"),
    "table_bytes": (96, "<I"),
    "streams": (100, "<I"),
    "spans": (104, "<I"),
}
_HEADER_BYTES = 116
_INDEX_SIZES = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Specimen:
    """A patch that is right."""

    name: str
    base: bytes | None
    patch: bytes
    target: bytes

    def save(self, folder: Path) -> None:
        """Put it where `load` finds it."""
        (folder / f"{self.name}.patch").write_bytes(self.patch)
        (folder / f"{self.name}.target").write_bytes(self.target)
        if self.base is not None:
            (folder / f"{self.name}.base").write_bytes(self.base)


def load(folder: Path) -> list[Specimen]:
    """The specimens of a folder, such as that of the golden files."""
    found = []
    for patch in sorted(folder.glob("*.patch")):
        base = patch.with_suffix(".base")
        target = patch.with_suffix(".target").read_bytes()
        found.append(Specimen(patch.stem, base.read_bytes() if base.exists() else None, patch.read_bytes(), target))
    return found


def restored(base: bytes | None, patch: bytes, folder: Path, limits: Limits = Limits()) -> bytes:  # noqa: B008 - frozen
    """What a patch restores, in a folder of its own."""
    if base is not None:
        (folder / "base").write_bytes(base)
    (folder / "patch").write_bytes(patch)
    decoder.apply(None if base is None else folder / "base", folder / "patch", folder / "out", limits=limits)
    return (folder / "out").read_bytes()


@dataclass(slots=True)
class Parts:
    """A patch taken apart, whose index will be coded by zstd, whatever it was before.

    `head` are the integers of its index before those of the spans, streams' entries first; a span is its predictor,
    correction, length and operands.
    """

    header: bytearray
    head: list[int]
    spans: list[list[int]]
    bodies: list[bytearray]
    contexts: tuple[ContextModel, ...] = ()
    formulas: tuple[Formula, ...] = ()

    @classmethod
    def of(cls, patch: bytes) -> "Parts":
        """Take a patch apart that is right."""
        fd = os.memfd_create("patch")
        with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            file.write(patch)
            container = container_format.parse(fd, LIMITS)
        index = container.index
        counts = index.operand_counts().tolist()
        operands = iter(varints.decode(index.operands).tolist())
        columns = (index.predictors.tolist(), index.corrections.tolist(), index.lengths.tolist(), counts)
        spans = [[*span, *islice(operands, count)] for *span, count in zip(*columns, strict=True)]
        header = container.header
        coded = patch[_HEADER_BYTES : container.streams_offset]
        plain = container_format.decode_index(coded, header.index_bytes, header.index_coding)
        numbers = varints.decode(np.frombuffer(plain, np.uint8)).tolist()
        own = sum(counts) + len(spans) * (2 if index.version == format_v1.VERSION else 3)
        parts = cls(
            bytearray(patch[:_HEADER_BYTES]), numbers[: len(numbers) - own], spans, [], index.contexts, index.formulas
        )
        parts.set_field("flags", parts.field("flags") & 1)
        at = container.streams_offset
        for entry in index.streams:
            parts.bodies.append(bytearray(patch[at : at + entry.coded_bytes]))
            at += entry.coded_bytes
        return parts

    def copy(self) -> "Parts":
        return Parts(
            bytearray(self.header), list(self.head), list(map(list, self.spans)), list(map(bytearray, self.bodies))
        )

    def joined(self) -> bytes:
        """The patch again, with sizes of the index that agree."""
        predictors, corrections, lengths = ([span[place] for span in self.spans] for place in range(3))
        columns = [predictors, corrections, lengths]
        if self.field("version") == format_v1.VERSION:
            columns = [_v1_numbers(self.spans), lengths]
        numbers = [*self.head, *chain(*columns), *chain(*(span[3:] for span in self.spans))]
        index = varints.encode(numbers)
        coded = zstd.compress(index, level=1)
        self.header[-_INDEX_SIZES.size :] = _INDEX_SIZES.pack(len(index), len(coded))
        return bytes(self.header) + coded + b"".join(self.bodies)

    def settle(self) -> None:
        """Make the header agree with the spans."""
        self.set_field("spans", len(self.spans))
        self.set_field("target_size", sum(span[2] for span in self.spans))

    def field(self, name: str) -> int:
        """A field of the header."""
        at, form = _HEADER_FIELDS[name]
        value: int = struct.unpack_from(form, self.header, at)[0]
        return value

    def set_field(self, name: str, value: int) -> None:
        """Set one, cut to its width."""
        at, form = _HEADER_FIELDS[name]
        struct.pack_into(form, self.header, at, value & ((1 << 8 * struct.calcsize(form)) - 1))

    def set_body(self, stream: int, body: bytes) -> None:
        """Replace the bytes of a stream, and their number in its entry."""
        self.bodies[stream] = bytearray(body)
        if len(self.head) > stream * _STREAM_FIELDS + 3:
            self.head[stream * _STREAM_FIELDS + 3] = len(body)


def _v1_numbers(spans: list[list[int]]) -> list[int]:
    """Version 1's predictors, from today's and corrections; any where version 1 had none."""
    known = {(one[1], one[2]): number for number, one in enumerate(format_v1.MEANING)}
    return [known.get((span[0], span[1]), span[0]) for span in spans]


def damaged(chunk: bytes, chance: random.Random) -> bytes:
    """One to four bytes changed, some inserted or removed, or the end cut."""
    mutant = bytearray(chunk)
    if not mutant:
        return chance.randbytes(chance.randrange(9))
    kind = chance.random()
    if kind < 0.15:
        return bytes(mutant[: chance.randrange(len(mutant))])
    if kind < 0.25:
        at = chance.randrange(len(mutant))
        mutant[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        return bytes(mutant)
    reach = chance.choice((40, 116, 400, len(mutant)))
    for _ in range(chance.randrange(1, 5)):
        mutant[chance.randrange(min(reach, len(mutant)))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return bytes(mutant)


def _value(value: int, parts: Parts, chance: random.Random) -> int:
    """Another value for an integer: near, of another place, an edge of some width, or anything."""
    drawn = chance.choice(
        (
            value + 1,
            value - 1,
            value ^ 1 << chance.randrange(40),
            value * 2,
            chance.choice(parts.head or [0]),
            chance.choice(chance.choice(parts.spans)) if parts.spans else 0,
            chance.randrange(16),
            chance.choice((-1, 0, 1)) + (1 << chance.randrange(63)),
            chance.randrange(1 << chance.randrange(1, 63)),
        )
    )
    return min(max(drawn, 0), (1 << 63) - 1)


def _change_numbers(parts: Parts, chance: random.Random) -> None:
    """One to three integers of the index."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        row = chance.choice((parts.head, *([chance.choice(parts.spans)] * 2 if parts.spans else ())))
        if row:
            at = chance.randrange(len(row))
            row[at] = _value(row[at], parts, chance)


def _shift_numbers(parts: Parts, chance: random.Random) -> None:
    """An integer more or less before the spans, or two that change places."""
    if not parts.head:
        return
    at, other = chance.randrange(len(parts.head)), chance.randrange(len(parts.head))
    kind = chance.randrange(3)
    if kind == 0:
        del parts.head[at]
    elif kind == 1:
        parts.head.insert(at, parts.head[other])
    else:
        parts.head[at], parts.head[other] = parts.head[other], parts.head[at]


def _regroup_spans(parts: Parts, chance: random.Random) -> None:
    """A span less or twice, two that change places, or one that does what another did, at another length."""
    if not parts.spans:
        return
    at, other = chance.randrange(len(parts.spans)), chance.randrange(len(parts.spans))
    kind = chance.randrange(5)
    if kind == 0:
        del parts.spans[at]
    elif kind == 1:
        parts.spans.insert(at, list(parts.spans[other]))
    elif kind == 2:
        parts.spans[at], parts.spans[other] = parts.spans[other], parts.spans[at]
    elif kind == 3:
        parts.spans[at] = [*parts.spans[other][:2], parts.spans[at][2], *parts.spans[other][3:]]
    else:
        parts.spans[at][2] = max(1, _value(parts.spans[at][2], parts, chance) & 0xFFFFF)
    parts.settle()


def _change_header(parts: Parts, chance: random.Random) -> None:
    """A field of the header, to what a patch may say."""
    name = chance.choice(list(_HEADER_FIELDS))
    value = _value(parts.field(name), parts, chance)
    if name == "version":
        value = chance.choice((1, 2))
    if name == "window_bytes":
        value = chance.choice((4096, 4160, 1 << 16, 1 << 20, 1 << 22, value))
    parts.set_field(name, value)


def _swap_streams(parts: Parts, chance: random.Random) -> None:
    """Two streams with their entries, or their bodies alone, or their kinds."""
    if len(parts.head) < _STREAM_FIELDS * len(parts.bodies):
        return
    one, other = (chance.randrange(len(parts.bodies)) for _ in range(2))
    kind = chance.randrange(3)
    if kind < 2:
        bodies = bytes(parts.bodies[one]), bytes(parts.bodies[other])
        parts.set_body(one, bodies[1])
        parts.set_body(other, bodies[0])
    if kind > 0:
        kept: tuple[int, ...] = (0, 1, 2, 4) if kind == 1 else (chance.choice((0, 1, 2, 4)),)
        for place in kept:
            at, there = one * _STREAM_FIELDS + place, other * _STREAM_FIELDS + place
            parts.head[at], parts.head[there] = parts.head[there], parts.head[at]


def _damage_body(parts: Parts, chance: random.Random) -> None:
    """The bytes of a stream, its size made to agree."""
    stream = chance.randrange(len(parts.bodies))
    parts.set_body(stream, damaged(bytes(parts.bodies[stream]), chance))


def _damage_inside(parts: Parts, chance: random.Random) -> None:
    """What a stream is made of: a field of its header, its tables unpacked, or one block, with sizes that agree."""
    stream = chance.randrange(len(parts.bodies))
    kind = (parts.head[stream * _STREAM_FIELDS :] or [0])[0]
    body = bytes(parts.bodies[stream])
    if kind == CODED and len(body) > CODED_HEADER.size:
        parts.set_body(stream, _damaged_coded(parts, stream, body, chance))
    elif kind == BLOCKS and len(body) > BLOCK_HEADER.size:
        number, count, size = BLOCK_HEADER.unpack_from(body)
        coded = damaged(body[BLOCK_HEADER.size : BLOCK_HEADER.size + size], chance)
        if chance.random() < 0.3:
            number, count = chance.choice(list(CODERS)), _value(count, parts, chance) & 0xFFFFFFFF
        head = BLOCK_HEADER.pack(number, count, len(coded))
        parts.set_body(stream, head + coded + body[BLOCK_HEADER.size + size :])
    else:
        _damage_body(parts, chance)


def _damaged_coded(parts: Parts, stream: int, body: bytes, chance: random.Random) -> bytes:
    fields = list(CODED_HEADER.unpack_from(body))
    rest = body[CODED_HEADER.size :]
    tables = _unpacked(rest[: fields[7]])
    if tables is None or chance.random() < 0.5:
        at = chance.randrange(len(fields))
        fields[at] = _value(fields[at], parts, chance) & (0xFFFFFFFF if at in (4, 7, 8, 9) else 0xFF)
    else:
        plain = damaged(tables, chance)
        coded = varints.encode([len(plain)]) + zstd.compress(plain, level=1)
        rest = coded + rest[fields[7] :]
        fields[7] = len(coded)
    if chance.random() < 0.5 and len(parts.head) > stream * _STREAM_FIELDS + 4:
        parts.head[stream * _STREAM_FIELDS + 4] = fields[6] << min(fields[2], 20)
    return CODED_HEADER.pack(*fields) + rest


def _unpacked(tables: bytes) -> bytes | None:
    """The plain tables of a coded stream, where they are not damaged already."""
    size, head = 0, 0
    while head < len(tables):
        size |= (tables[head] & 0x7F) << (7 * head)
        head += 1
        if tables[head - 1] < 0x80:
            break
    try:
        return zstd.decompress(tables[head:], min(size, MIB))
    except DeltaError:
        return None


_WAYS: tuple[tuple[Callable[[Parts, random.Random], None], int], ...] = (
    (_change_numbers, 8),
    (_shift_numbers, 1),
    (_regroup_spans, 4),
    (_change_header, 2),
    (_swap_streams, 2),
    (_damage_body, 3),
    (_damage_inside, 5),
)


_taken_apart = lru_cache(maxsize=64)(Parts.of)


def mutant(specimen: Specimen, chance: random.Random) -> bytes:
    """A damaged patch: in its bytes, or in its parts."""
    if chance.random() < 0.15:
        return damaged(specimen.patch, chance)
    parts = _taken_apart(specimen.patch).copy()
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choices([way for way, _ in _WAYS], [weight for _, weight in _WAYS])[0](parts, chance)
    if chance.random() < 0.5:
        parts.settle()
    return parts.joined()


@dataclass(slots=True)
class Outcome:
    """What came of all: how many by the slug of their error, or `right`; the longest took `longest_s`."""

    counts: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    peak_growth_kib: int = 0


def survive(seed: int, count: int, folder: Path, *, patches: list[Specimen]) -> Outcome:
    """Apply `count` mutants; raise where one ends as none may, with its bytes left at `folder / "patch"`."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    outcome = Outcome()
    before = _peak_kib()
    for _ in range(count):
        specimen = chance.choice(patches)
        patch = mutant(specimen, chance)
        started = time.monotonic()
        try:
            right = restored(specimen.base, patch, folder, LIMITS) == specimen.target
        except MemoryExhausted:
            raise
        except DeltaError as error:
            outcome.counts[error.slug] += 1
        else:
            assert right, f"{specimen.name} gave other bytes"
            outcome.counts["right"] += 1
            (folder / "out").unlink()
        outcome.longest_s = max(outcome.longest_s, time.monotonic() - started)
        left = {path.name for path in folder.iterdir()} - {"base", "patch"}
        assert not left, f"{specimen.name} left {left}"
    outcome.peak_growth_kib = _peak_kib() - before
    return outcome


def _peak_kib() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def limit_address_space(slack_bytes: int = ADDRESS_SPACE_SLACK_BYTES) -> None:
    """Let this process map no more than it has and so much."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + slack_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(seed: int, count: int, patches: list[Specimen], folder: Path) -> None:
    """See the module."""
    warnings.simplefilter("error")
    limit_address_space()
    outcome = survive(seed, count, folder, patches=patches)
    print(json.dumps({name: getattr(outcome, name) for name in outcome.__slots__}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), load(Path(sys.argv[3])), Path(sys.argv[4]))
