"""The comparison as Markdown. Pure: rows and verdicts in, lines out."""

from collections.abc import Iterable, Iterator

from benchmarks.peers.codecs import CODECS, OURS_MAX
from benchmarks.peers.measuring import Result, State
from benchmarks.peers.pairs import PairClass
from benchmarks.peers.reach import ENTROPY_FACTOR, ENTROPY_SLACK_BYTES, Row, Verdict

MIB = 1 << 20
_MET = {True: "met", False: "**missed**", None: "not measured"}


def reach_table(verdicts: list[Verdict]) -> Iterator[str]:
    """Goal, limit, our worst figure, whether it is met."""
    yield from _table(
        ["goal", "limit", "worst", "", "at", "pairs"],
        ([v.goal, v.limit, _figure(v), _MET[v.met], f"`{v.at}`" if v.at else "", str(v.pairs)] for v in verdicts),
    )


def summary_table(rows: list[Row]) -> Iterator[str]:
    """For a README: one line per class, its worst pair."""
    lines = []
    for pair_class in PairClass:
        ratios = [(ratio, row) for row in _of(rows, pair_class) if (ratio := row.ratio()) is not None]
        if not ratios:
            continue
        ratio, row = max(ratios, key=lambda entry: entry[0])
        ours, best = row.results[OURS_MAX.name], row.best_peer()
        if best:
            share = f"{ours.patch_bytes:,} ({_percent(ours.patch_bytes, row)})"
            peer = f"{best[0]}: {best[1]:,} ({_percent(best[1], row)})"
            spread = f"{min(ratios, key=lambda entry: entry[0])[0]:.3f} to {ratio:.3f}"
            lines.append(
                [pair_class.heading, str(len(ratios)), row.pair.name, f"{row.pair.new_bytes:,}", share, peer, spread]
            )
    head = ["class", "pairs", "worst pair", "new file", "ours, bytes", "best peer, bytes", "ours / best peer"]
    yield from _table(head, lines)


def byte_tables(rows: list[Row]) -> Iterator[str]:
    """Exact bytes of every codec, a table per class."""
    for pair_class in PairClass:
        chosen = _of(rows, pair_class)
        if chosen:
            yield from ("", f"### {pair_class.heading}", "")
            head = ["pair", "new file", *CODECS, "ours / best peer", "/ best generic"]
            yield from _table(head, map(_byte_row, chosen))


def cost_tables(rows: list[Row]) -> Iterator[str]:
    """Processor seconds and MiB of growth, to make and to apply, a table per class."""
    for pair_class in PairClass:
        chosen = _of(rows, pair_class)
        if chosen:
            yield from ("", f"### {pair_class.heading}", "")
            yield from _table(["pair", *CODECS], ([row.pair.name, *map(_cost, _results(row))] for row in chosen))


def entropy_table(rows: list[Row]) -> Iterator[str]:
    """Sparse differences: their codes' entropy both ways beside what we send."""
    head = ["pair", "codes not 0", "entropy, one set of counts", "entropy, per tensor", OURS_MAX.name, "allowed"]
    lines = []
    for row in rows:
        if row.entropy and (ours := row.measured(OURS_MAX.name)):
            allowed = ENTROPY_FACTOR * row.entropy.lower_bytes + ENTROPY_SLACK_BYTES
            figures = (row.entropy.together_bytes, row.entropy.per_tensor_bytes, ours.patch_bytes, allowed)
            lines.append([row.pair.name, f"{row.entropy.non_zeros:,}", *(f"{value:,.0f}" for value in figures)])
    yield from _table(head, lines)


def noise_table(rows: list[Row]) -> Iterator[str]:
    """Fine-tunes: the entropy of their differences as noise beside what we send, and as a share of the peers."""
    lines = []
    for row in rows:
        best, generic, ours = row.best_peer(), row.best_peer(generic=True), row.measured(OURS_MAX.name)
        if row.noise_bytes and best and generic and ours:
            shares = (ours.patch_bytes / row.noise_bytes, row.noise_bytes / best[1], row.noise_bytes / generic[1])
            name = f"{row.pair.pair_class}/{row.pair.name}"
            lines.append([name, f"{row.noise_bytes:,.0f}", f"{ours.patch_bytes:,}", *map(_ratio, shares)])
    head = ["pair", "noise", OURS_MAX.name, "ours / noise", "noise / best peer", "noise / best generic"]
    yield from _table(head, lines)


def pair_table(rows: list[Row]) -> Iterator[str]:
    """What every pair is and how it was made."""
    yield from _table(["class", "pair", "from what"], ([r.pair.pair_class, r.pair.name, r.pair.how] for r in rows))


def absences(rows: list[Row]) -> Iterator[str]:
    """Every codec that could not be measured where it should have been, and what to do about it."""
    seen = set()
    for row in rows:
        for name, result in row.results.items():
            if result.state in (State.NOT_INSTALLED, State.TIMED_OUT, State.FAILED):
                where = "" if result.state is State.NOT_INSTALLED else f" on {row.pair.pair_class}/{row.pair.name}"
                seen.add(f"- {name}{where}: {result.state}: {result.reason}")
    yield from sorted(seen)


def _byte_row(row: Row) -> list[str]:
    best = row.best_peer()
    cells = []
    for name, result in zip(CODECS, _results(row), strict=True):
        text = _bytes(result, row)
        cells.append(f"**{text}**" if best and name == best[0] else text)
    ratios = [_ratio(row.ratio()), _ratio(row.ratio(generic=True))]
    return [row.pair.name, f"{row.pair.new_bytes:,}", *cells, *ratios]


def _results(row: Row) -> list[Result | None]:
    return [row.results.get(name) for name in CODECS]


def _bytes(result: Result | None, row: Row) -> str:
    if result is None:
        return ""
    if result.state is not State.MEASURED:
        return _short(result)
    return f"{result.patch_bytes:,}"


def _cost(result: Result | None) -> str:
    if result is None:
        return ""
    if not result.make or not result.apply:
        return _short(result)
    make, apply = result.make, result.apply
    return f"{make.cpu_s:.2f} s, {make.growth_bytes / MIB:.0f} MiB; {apply.cpu_s:.3f} s, {apply.growth_bytes / MIB:.0f} MiB"


def _short(result: Result) -> str:
    return "-" if result.state is State.NOT_APPLICABLE else str(result.state)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _figure(verdict: Verdict) -> str:
    return "" if verdict.figure is None else f"{verdict.figure:.3g} {verdict.unit}".strip()


def _percent(size_bytes: int, row: Row) -> str:
    return f"{size_bytes / row.pair.new_bytes:.1%}"


def _of(rows: list[Row], pair_class: PairClass) -> list[Row]:
    return [row for row in rows if row.pair.pair_class is pair_class]


def _table(head: list[str], lines: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
