"""The ladder's tables from folds that were measured. Pure: folds in, figures and lines out.

The folds of a pair are put together: every sample is answered once, by files that were made without it. Bytes are the mean of the folds'.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.paired import Paired, compare
from benchmarks.peers.ladder.records import PARTS, Fold, Point
from compression.ladder.choice import PROMISES

FAITHFUL, THRIFTY = (promise.name for promise in PROMISES)
PART_OF_ROLE = {
    FAITHFUL: ("trained", FAITHFUL),
    THRIFTY: ("trained", THRIFTY),
    "without training, faithful": ("without", FAITHFUL),
    "without training, thrifty": ("without", THRIFTY),
}
"""What is reported: made by which part, and under which promise it was chosen."""
_LIMITS = {FAITHFUL: 1 / 4, THRIFTY: 1 / 8, "without training, faithful": 2 / 3, "without training, thrifty": 2 / 3}
"""Of our bytes by NNCodec's, medians over pairs."""
PROMISED = {promise.name: promise for promise in PROMISES}


@dataclass(frozen=True, slots=True)
class Pooled:
    """One way of sending, over all folds of a pair that were measured."""

    name: str
    size_bytes: float
    paired: Paired


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung of a pair beside NNCodec at its best at no less agreement: `None` where no setting of it agrees as often.

    Attributes:
        share: of v2's file.
        missing: folds in which no candidate kept the promise where rungs are chosen; the one of most bytes was taken.
    """

    role: str
    pooled: Pooled
    share: float
    missing: int
    nncodec: Pooled | None

    @property
    def ratio(self) -> float | None:
        """Our bytes by NNCodec's."""
        return None if self.nncodec is None else self.pooled.size_bytes / self.nncodec.size_bytes

    @property
    def keeps_promise(self) -> bool:
        """Whether agreement and accuracy are what the rung's name says, on samples that nothing was chosen on."""
        return _keeps(self.pooled, PART_OF_ROLE[self.role][1])


@dataclass(frozen=True, slots=True)
class Picked:
    """The fewest bytes that keep a promise, ours and NNCodec's; `None` where no point keeps it.

    Both are picked on the very samples that they are reported on: codecs side by side, whatever foretelling is worth.
    """

    role: str
    ours: Pooled | None
    nncodec: Pooled | None

    @property
    def ratio(self) -> float | None:
        """Our bytes by NNCodec's."""
        if self.ours is None or self.nncodec is None:
            return None
        return self.ours.size_bytes / self.nncodec.size_bytes


def pooled_points(folds: Sequence[Fold], part: str) -> list[Pooled]:
    """Those points of a part that every one of these folds of one pair has, by name, fewest bytes first."""
    by_name: dict[str, list[tuple[Fold, Point]]] = {}
    for fold in folds:
        for point in fold.parts.get(part, ()):
            by_name.setdefault(point.name, []).append((fold, point))
    found = [_pooled(name, members) for name, members in by_name.items() if len(members) == len(folds)]
    return sorted(found, key=lambda one: one.size_bytes)


def rung_of(folds: Sequence[Fold], role: str) -> Rung | None:
    """What was chosen for a role in each fold, put together; `None` where its part was not measured in some fold."""
    part, promise = PART_OF_ROLE[role]
    if not folds or any(not fold.parts.get(part) for fold in folds):
        return None
    members, missing = [], 0
    for fold in folds:
        points = fold.parts[part]
        chosen = [point for point in points if promise in point.chosen_as.split(", ")]
        missing += not chosen
        members.append((fold, chosen[0] if chosen else max(points, key=lambda point: point.size_bytes)))
    pooled = _pooled(role, members)
    share = pooled.size_bytes / mean(fold.new_bytes for fold in folds)
    return Rung(role, pooled, share, missing, best_at(pooled_points(folds, "nncodec"), pooled.paired))


def picked_of(folds: Sequence[Fold], role: str) -> Picked:
    """What keeps a role's promise at the fewest bytes, over all folds put together."""
    part, promise = PART_OF_ROLE[role]
    ours, nncodec = (
        next((one for one in pooled_points(folds, of) if _keeps(one, promise)), None) for of in (part, "nncodec")
    )
    return Picked(role, ours, nncodec)


def _keeps(pooled: Pooled, promise: str) -> bool:
    wanted, paired = PROMISED[promise], pooled.paired
    return paired.agreement >= wanted.agreement and abs(paired.difference) <= wanted.difference


def best_at(curve: Iterable[Pooled], paired: Paired) -> Pooled | None:
    """The point of fewest bytes that agrees as often and is no less accurate. It is picked on the very samples it is reported on, ours never."""
    good = [
        one for one in curve if one.paired.agreement >= paired.agreement and one.paired.difference >= paired.difference
    ]
    return min(good, key=lambda one: one.size_bytes, default=None)


def _pooled(name: str, members: Sequence[tuple[Fold, Point]]) -> Pooled:
    said = [one for _, point in members for one in point.classes]
    wanted = [one for fold, _ in members for one in fold.new_classes]
    labels = [one for fold, _ in members for one in fold.labels]
    return Pooled(name, mean(point.size_bytes for _, point in members), compare(said, wanted, labels))


def markdown(folds: Sequence[Fold], *, ordinary: frozenset[str]) -> Iterator[str]:
    """Every table. `ordinary`: pairs in which v2 learns nothing new."""
    pairs = list(dict.fromkeys(fold.pair for fold in folds))
    yield from _pair_table(folds, pairs)
    yield ""
    yield from _rung_table(folds, pairs)
    yield ""
    yield from _reach_table(folds, pairs, ordinary)
    yield ""
    yield "Whatever the choice: the fewest bytes that keep the promise, ours picked afterwards as NNCodec's are."
    yield ""
    yield from _picked_table(folds, pairs)
    yield ""
    yield from _seed_table(folds)
    yield ""
    yield from _time_table(folds, pairs)


def _pair_table(folds: Sequence[Fold], pairs: Sequence[str]) -> Iterator[str]:
    lossless = list(dict.fromkeys(p.name for fold in folds for p in fold.parts.get("differs", ())))
    lines = []
    for pair in pairs:
        own = _of(folds, pair)
        base = compare(_all(own, "base_classes"), _all(own, "new_classes"), _all(own, "labels"))
        accuracy = _accuracy(_all(own, "new_classes"), _all(own, "labels"))
        sizes = [_mean_bytes(own, name) for name in lossless]
        new_bytes = mean(fold.new_bytes for fold in own)
        lines.append(
            [
                f"`{pair}`",
                f"{len(own)}",
                f"{base.n:,}",
                f"{accuracy + base.difference:.2%}",
                f"{accuracy:.2%}",
                f"{base.agreement:.2%}",
                f"{new_bytes:,.0f}",
                *("" if size is None else f"{size:,.0f}" for size in sizes),
            ]
        )
    head = ["pair", "folds", "samples", "v1", "v2", "v1 agrees with v2", "v2, bytes", *lossless]
    yield from _table(head, lines)


def _rung_table(folds: Sequence[Fold], pairs: Sequence[str]) -> Iterator[str]:
    head = [
        "pair",
        "rung",
        "bytes",
        "of fp32",
        "agrees",
        "accuracy less v2's, points",
        "95 %",
        "McNemar p",
        "promise",
        "NNCodec, bytes",
        "its setting",
        "ours / NNCodec",
    ]
    lines = []
    for pair in pairs:
        for role in PART_OF_ROLE:
            rung = rung_of(_of(folds, pair), role)
            if rung is not None:
                lines.append([f"`{pair}`", role, *_figures(rung)])
    yield from _table(head, lines)


def _figures(rung: Rung) -> list[str]:
    paired = rung.pooled.paired
    low, high = paired.difference_ci95
    kept = "kept" if rung.keeps_promise else "**broken**"
    return [
        f"{rung.pooled.size_bytes:,.0f}",
        f"{rung.share:.2%}",
        f"{paired.agreement:.2%}",
        f"{100 * paired.difference:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
        f"{paired.p_value:.2g}",
        kept + (f", none chosen in {rung.missing} folds" if rung.missing else ""),
        "" if rung.nncodec is None else f"{rung.nncodec.size_bytes:,.0f}",
        "none agrees as often" if rung.nncodec is None else rung.nncodec.name,
        "" if rung.ratio is None else f"{rung.ratio:.3f}",
    ]


def _reach_table(folds: Sequence[Fold], pairs: Sequence[str], ordinary: frozenset[str]) -> Iterator[str]:
    head = ["goal", "limit", "reached", "", "pairs"]
    rungs = {role: [r for pair in pairs if (r := rung_of(_of(folds, pair), role))] for role in PART_OF_ROLE}
    usual = [r for pair in pairs if pair in ordinary and (r := rung_of(_of(folds, pair), THRIFTY))]
    goals: list[tuple[str, float, list[float]]] = [
        ("faithful / NNCodec, median", _LIMITS[FAITHFUL], _ratios(rungs[FAITHFUL])),
        ("faithful, share of fp32, median", 0.015, [rung.share for rung in rungs[FAITHFUL]]),
        ("thrifty / NNCodec, median", _LIMITS[THRIFTY], _ratios(rungs[THRIFTY])),
        (
            "thrifty, share of fp32 on ordinary fine-tunes, largest",
            0.004,
            [max((r.share for r in usual), default=0)] if usual else [],
        ),
        ("thrifty / NNCodec, largest", 1 / 2, [max(_ratios(rungs[THRIFTY]))] if _ratios(rungs[THRIFTY]) else []),
        *(
            (f"{role} / NNCodec, median", _LIMITS[role], _ratios(rungs[role]))
            for role in ("without training, faithful", "without training, thrifty")
        ),
    ]
    goals += [
        (
            f"{role} / NNCodec, both picked afterwards, median",
            limit,
            _ratios(picked_of(_of(folds, pair), role) for pair in pairs),
        )
        for role, limit in _LIMITS.items()
    ]
    lines = []
    for goal, limit, values in goals:
        if values:
            reached = median(values)
            lines.append(
                [
                    goal,
                    f"≤ {limit:.3g}",
                    f"{reached:.3g}",
                    "met" if reached <= limit else "**missed**",
                    f"{len(values)}",
                ]
            )
        else:
            lines.append([goal, f"≤ {limit:.3g}", "", "not measured", "0"])
    for role, found in rungs.items():
        if found:
            kept = sum(rung.keeps_promise for rung in found)
            lines.append(
                [
                    f"{role}: promise kept",
                    f"{len(found)}",
                    f"{kept}",
                    "met" if kept == len(found) else "**missed**",
                    f"{len(found)}",
                ]
            )
    yield from _table(head, lines)


def _picked_table(folds: Sequence[Fold], pairs: Sequence[str]) -> Iterator[str]:
    head = ["pair", "promise", "ours", "bytes", "of fp32", "agrees", "NNCodec, bytes", "its setting", "ours / NNCodec"]
    lines = []
    for pair in pairs:
        own = _of(folds, pair)
        new_bytes = mean(fold.new_bytes for fold in own)
        for role in PART_OF_ROLE:
            found = picked_of(own, role)
            ours, theirs = found.ours, found.nncodec
            lines.append(
                [
                    f"`{pair}`",
                    role,
                    *(
                        ["none keeps it", "", "", ""]
                        if ours is None
                        else [
                            ours.name,
                            f"{ours.size_bytes:,.0f}",
                            f"{ours.size_bytes / new_bytes:.2%}",
                            f"{ours.paired.agreement:.2%}",
                        ]
                    ),
                    *(["none keeps it", ""] if theirs is None else [f"{theirs.size_bytes:,.0f}", theirs.name]),
                    "" if found.ratio is None else f"{found.ratio:.3f}",
                ]
            )
    yield from _table(head, lines)


def _ratios(rungs: Iterable[Rung | Picked]) -> list[float]:
    return [rung.ratio for rung in rungs if rung.ratio is not None]


def _seed_table(folds: Sequence[Fold]) -> Iterator[str]:
    """Every fold by itself: nothing is left out."""
    lines = []
    for fold in folds:
        cells = []
        for role in PART_OF_ROLE:
            rung = rung_of([fold], role)
            cells.append("" if rung is None else f"{rung.pooled.size_bytes:,.0f} B, {rung.pooled.paired.agreement:.2%}")
        lines.append([f"`{fold.pair}`", f"{fold.number + 1}", *cells])
    yield from _table(["pair", "fold", *PART_OF_ROLE], lines)


def _time_table(folds: Sequence[Fold], pairs: Sequence[str]) -> Iterator[str]:
    names = ["pair", *PARTS]
    lines = []
    for pair in pairs:
        seconds = [[fold.seconds[name] for fold in _of(folds, pair) if name in fold.seconds] for name in names]
        lines.append([f"`{pair}`", *(f"{mean(found):,.0f}" if found else "" for found in seconds)])
    total = sum(sum(fold.seconds.values()) for fold in folds)
    yield from _table(
        ["pair", "training v1 and v2", "trained rungs", "rungs without training", "NNCodec", "lossless"], lines
    )
    yield ""
    yield f"Processor seconds of one fold, measuring included; all folds together took {total / 60:,.0f} minutes."


def _of(folds: Sequence[Fold], pair: str) -> list[Fold]:
    return [fold for fold in folds if fold.pair == pair]


def _all(folds: Sequence[Fold], field: str) -> list[int]:
    return [one for fold in folds for one in getattr(fold, field)]


def _accuracy(said: Sequence[int], labels: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(said, labels, strict=True)) / len(labels)


def _mean_bytes(folds: Sequence[Fold], name: str) -> float | None:
    sizes = [point.size_bytes for fold in folds for point in fold.parts.get("differs", ()) if point.name == name]
    return mean(sizes) if sizes else None


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
