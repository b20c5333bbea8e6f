"""What was measured of a fold, in the repository: a run of hours may be stopped, looked at, and go on elsewhere.

One file a fold. A part of it holds while the settings that it was measured with are today's; all parts are of the very same v1 and v2. Answers are
written one digit a sample, so nets have at most ten classes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compression.ladder.choice import Offer, choose

SCHEMA = "ladder-fold/1"
PARTS = ("trained", "without", "nncodec", "differs")


@dataclass(frozen=True, slots=True)
class Point:
    """A file that is sent: what it takes in bytes, and the classes it says for the fold.

    Attributes:
        offer: of a rung, what it is chosen by.
        chosen_as: what it promises, if anything; by today's rules, for choosing takes no time.
    """

    name: str
    size_bytes: int
    classes: tuple[int, ...]
    offer: Offer | None = None
    chosen_as: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of a pair, as far as it is measured: `parts` holds points by part, `seconds` processor seconds by part."""

    pair: str
    number: int
    new_bytes: int
    labels: tuple[int, ...]
    base_classes: tuple[int, ...]
    new_classes: tuple[int, ...]
    parts: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """The file of one fold.

    Attributes:
        nets_sha256: of v1 and v2, one after the other.
        fold: what was measured; `chosen_as` is not in the file.
        settings: what each part was measured with.
    """

    nets_sha256: str
    machine: str
    fold: Fold
    settings: dict[str, str] = field(default_factory=dict)

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Of the parts wanted with these settings, those that are not here with the same."""
        return [part for part, settings in wanted.items() if self.settings.get(part) != settings]

    def add(self, part: str, settings: str, points: Iterable[Point], seconds: float) -> None:
        """Put in what was measured."""
        self.fold.parts[part] = with_roles(points)
        self.fold.seconds[part] = round(seconds, 1)
        self.settings[part] = settings

    def write(self, path: Path) -> None:
        """In one rename."""
        fold = self.fold
        document = {
            "schema": SCHEMA,
            "pair": fold.pair,
            "fold": fold.number,
            "machine": self.machine,
            "nets_sha256": self.nets_sha256,
            "new_bytes": fold.new_bytes,
            "labels": _digits(fold.labels),
            "v1": _digits(fold.base_classes),
            "v2": _digits(fold.new_classes),
            "seconds": fold.seconds,
            "parts": {
                part: {"settings": self.settings[part], "points": [_point_out(point) for point in fold.parts[part]]}
                for part in sorted(fold.parts)
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def path_of(folder: Path, pair: str, number: int) -> Path:
    """Where the record of a fold is; folds count from 0, in names from 1."""
    return folder / f"{pair}-{number + 1}.json"


def read(path: Path) -> Record:
    """The record in a file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["schema"] != SCHEMA:
        raise ValueError(f"{path}: schema {found['schema']}, expected {SCHEMA}")
    parts = {part: with_roles(map(_point_in, held["points"])) for part, held in found["parts"].items()}
    fold = Fold(
        found["pair"],
        found["fold"],
        found["new_bytes"],
        _classes(found["labels"]),
        _classes(found["v1"]),
        _classes(found["v2"]),
        parts,
        found["seconds"],
    )
    settings = {part: held["settings"] for part, held in found["parts"].items()}
    return Record(found["nets_sha256"], found["machine"], fold, settings)


def with_roles(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points, rungs among them as what they are chosen for."""
    found = list(points)
    chosen = choose([point.offer for point in found if point.offer is not None])
    return tuple(
        Point(point.name, point.size_bytes, point.classes, point.offer, chosen.get(point.name, "")) for point in found
    )


def _point_out(point: Point) -> dict[str, Any]:
    offer = {} if point.offer is None else {"offer": asdict(point.offer)}
    return {"name": point.name, "size_bytes": point.size_bytes, "classes": _digits(point.classes), **offer}


def _point_in(found: Mapping[str, Any]) -> Point:
    offer = Offer(**found["offer"]) if "offer" in found else None
    return Point(found["name"], found["size_bytes"], _classes(found["classes"]), offer)


def _digits(classes: Iterable[int]) -> str:
    found = list(classes)
    if any(not 0 <= one <= 9 for one in found):
        raise ValueError("a record holds one digit a sample: classes 0 to 9")
    return "".join(map(str, found))


def _classes(digits: str) -> tuple[int, ...]:
    return tuple(map(int, digits))
