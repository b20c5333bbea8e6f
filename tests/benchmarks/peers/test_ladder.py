"""The ladder's tables from canned folds, and what is kept between runs. Nothing is trained and NNCodec is not installed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.ladder import __main__ as command
from benchmarks.peers.ladder import measuring
from benchmarks.peers.ladder.pairs import LadderPair, _half_turned
from benchmarks.peers.ladder.picture import draw
from benchmarks.peers.ladder.records import Fold, Point, Record, path_of, read
from benchmarks.peers.ladder.table import FAITHFUL, THRIFTY, best_at, markdown, picked_of, pooled_points, rung_of
from compression.datasets import load_samples
from compression.ladder.choice import Offer

LABELS = tuple(place % 10 for place in range(1000))


def _wrong(count: int) -> tuple[int, ...]:
    """Answers of which the first `count` are not the labels."""
    return tuple((label + (place < count)) % 10 for place, label in enumerate(LABELS))


def _fold(number: int, *, trained: tuple[Point, ...], nncodec: tuple[Point, ...], pair: str = "digits-1") -> Fold:
    parts = {
        "trained": trained,
        "nncodec": nncodec,
        "differs": (Point("ours, lossless", 700_000, ()), Point("HDiffPatch", 900_000, ())),
    }
    return Fold(pair, number, 1_000_000, LABELS, _wrong(30), LABELS, parts, {"pair": 10.0, "trained": 100.0})


FOLDS = [
    _fold(
        0,
        trained=(
            Point("trained-1", 6000, _wrong(0), chosen_as=FAITHFUL),
            Point("trained-2", 2000, _wrong(8), chosen_as=THRIFTY),
        ),
        nncodec=(
            Point("opt_qp -38", 40_000, _wrong(1)),
            Point("opt_qp -30", 20_000, _wrong(6)),
            Point("opt_qp -26", 9_000, _wrong(50)),
        ),
    ),
    _fold(
        1,
        trained=(
            Point("trained-1", 8000, _wrong(4), chosen_as=f"{FAITHFUL}, {THRIFTY}"),
            Point("trained-2", 4000, _wrong(20)),
        ),
        nncodec=(
            Point("opt_qp -38", 44_000, _wrong(1)),
            Point("opt_qp -30", 22_000, _wrong(6)),
            Point("opt_qp -26", 10_000, _wrong(50)),
        ),
    ),
]


def test_folds_are_put_together_and_each_gives_the_file_that_was_chosen_in_it() -> None:
    faithful, thrifty = rung_of(FOLDS, FAITHFUL), rung_of(FOLDS, THRIFTY)

    assert faithful is not None
    assert (faithful.pooled.size_bytes, faithful.pooled.paired.n, faithful.pooled.paired.lost) == (7000, 2000, 4)
    assert faithful.share == pytest.approx(0.007)
    assert thrifty is not None
    assert (thrifty.pooled.size_bytes, thrifty.pooled.paired.lost, thrifty.missing) == (5000, 12, 0)


def test_nncodec_is_taken_at_its_smallest_that_agrees_as_often_and_is_as_accurate() -> None:
    faithful, thrifty = rung_of(FOLDS, FAITHFUL), rung_of(FOLDS, THRIFTY)

    assert faithful is not None
    assert faithful.nncodec is not None
    assert (faithful.nncodec.name, faithful.nncodec.size_bytes) == ("opt_qp -38", 42_000)
    assert faithful.ratio == pytest.approx(7000 / 42_000)
    assert thrifty is not None
    assert thrifty.nncodec is not None
    assert thrifty.nncodec.name == "opt_qp -30"


def test_picked_afterwards_are_the_fewest_bytes_that_keep_the_promise_on_both_sides() -> None:
    faithful, thrifty = picked_of(FOLDS, FAITHFUL), picked_of(FOLDS, THRIFTY)

    assert faithful.ours is not None
    assert faithful.nncodec is not None
    # trained-2 is wrong 28 times of 2,000: thrifty wants 20 at most.
    assert (faithful.ours.name, faithful.ours.size_bytes) == ("trained-1", 7000)
    assert faithful.nncodec.name == "opt_qp -38"
    assert faithful.ratio == pytest.approx(7000 / 42_000)
    assert thrifty.ours == faithful.ours
    assert picked_of([FOLDS[1]], "without training, faithful").ratio is None


def test_a_rung_that_nothing_of_nncodec_reaches_has_no_ratio() -> None:
    perfect = rung_of(
        [_fold(0, trained=(Point("t", 1, _wrong(0), chosen_as=FAITHFUL),), nncodec=FOLDS[0].parts["nncodec"])], FAITHFUL
    )

    assert perfect is not None
    assert perfect.nncodec is None
    assert perfect.ratio is None


def test_a_fold_in_which_nothing_was_chosen_takes_the_dearest_and_is_counted() -> None:
    fold = _fold(0, trained=(Point("a", 9000, _wrong(9)), Point("b", 3000, _wrong(40))), nncodec=())

    rung = rung_of([fold], FAITHFUL)

    assert rung is not None
    assert (rung.pooled.size_bytes, rung.missing, rung.keeps_promise) == (9000, 1, False)


def test_a_setting_that_is_missing_in_one_fold_is_no_point_of_the_curve() -> None:
    short = _fold(2, trained=(), nncodec=(Point("opt_qp -38", 41_000, _wrong(1)),))

    assert [one.name for one in pooled_points([FOLDS[0], short], "nncodec")] == ["opt_qp -38"]
    assert rung_of([FOLDS[0], short], FAITHFUL) is None
    assert best_at([], pooled_points(FOLDS, "trained")[0].paired) is None


def test_page_says_every_figure_what_was_missed_and_what_was_not_measured(tmp_path: Path) -> None:
    page = "\n".join(markdown(FOLDS, ordinary=frozenset({"digits-1"})))

    assert "| `digits-1` | 2 | 2,000 | 97.00% | 100.00% | 97.00% | 1,000,000 | 700,000 | 900,000 |" in page
    assert "| `digits-1` | faithful | 7,000 | 0.70% | 99.80% | -0.20 |" in page
    assert "| thrifty / NNCodec, largest | ≤ 0.5 | 0.238 | met | 1 |" in page
    assert "| thrifty, share of fp32 on ordinary fine-tunes, largest | ≤ 0.004 | 0.005 | **missed** | 1 |" in page
    assert "| without training, faithful / NNCodec, median | ≤ 0.667 |  | not measured | 0 |" in page
    assert "| `digits-1` | 2 | 8,000 B, 99.60% | 8,000 B, 99.60% |  |  |" in page


def test_the_picture_is_the_same_for_the_same_folds(tmp_path: Path) -> None:
    draw(FOLDS, tmp_path / "one.svg")
    draw(FOLDS, tmp_path / "other.svg")

    written = (tmp_path / "one.svg").read_bytes()
    assert written == (tmp_path / "other.svg").read_bytes()
    for name in ("digits-1", "NNCodec at its best", "HDiffPatch"):
        assert name.encode() in written


def _record() -> Record:
    record = Record("ab" * 32, "some machine", Fold("digits-1", 0, 1_000_000, LABELS, _wrong(30), LABELS))
    record.fold.seconds["pair"] = 10.0
    offers = (Offer("trained-1", 6000, 0.0008, 0.0, 800, 2), Offer("trained-2", 2000, 0.003, -0.001, 800, 4))
    record.add("trained", "as now", [Point(one.name, one.size_bytes, _wrong(8), one) for one in offers], 100.04)
    record.add("differs", "", [Point("HDiffPatch", 900_000, ())], 1.0)
    return record


def test_a_record_is_read_as_it_was_written_and_rungs_have_todays_roles(tmp_path: Path) -> None:
    path = path_of(tmp_path / "records", "digits-1", 0)
    _record().write(path)

    assert path.name == "digits-1-1.json"
    assert not list(tmp_path.rglob("*.partial"))
    found = read(path)
    assert found == _record()
    assert [point.chosen_as for point in found.fold.parts["trained"]] == [FAITHFUL, THRIFTY]


def test_a_part_is_missing_when_its_settings_changed() -> None:
    wanted = {"trained": "as now", "nncodec": "2.0", "differs": ""}
    assert _record().missing(wanted) == ["nncodec"]
    assert _record().missing({**wanted, "trained": "otherwise"}) == ["trained", "nncodec"]


def test_only_what_is_missing_is_measured_and_other_nets_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def points(part: str, task: object, cache: Path) -> list[Point]:
        measured.append(part)
        return [Point(part, 1000, LABELS[:359])]

    pair = LadderPair("tiny", "digits", seed=1, first=150, epochs=(1, 1))
    monkeypatch.setattr(measuring, "_points", points)

    def measure(*parts: str, cache: str = "cache") -> None:
        measuring.measure_fold(pair, 0, parts, cache=tmp_path / cache, kept=tmp_path, say=lambda _: None)

    measure("differs")
    measure("differs", "trained")
    measure("differs", "trained")
    assert measured == ["differs", "trained"]
    first = read(path_of(tmp_path, "tiny", 0))

    pair = LadderPair("tiny", "digits", seed=2, first=150, epochs=(1, 1))
    measure("differs", cache="other")
    again = read(path_of(tmp_path, "tiny", 0))
    assert measured == ["differs", "trained", "differs"]
    assert again.nets_sha256 != first.nets_sha256
    assert set(again.fold.parts) == {"differs"}


def test_classes_that_one_digit_cannot_say_are_refused(tmp_path: Path) -> None:
    record = _record()
    record.add("without", "", [Point("a", 1, (3, 10))], 1.0)
    with pytest.raises(ValueError, match="classes 0 to 9"):
        record.write(tmp_path / "record.json")


def test_half_of_the_samples_are_turned_and_labels_stay() -> None:
    plain = load_samples("digits").first(400)

    turned = _half_turned(plain, seed=5)

    same = (turned.images == plain.images).all(axis=(1, 2, 3))
    assert same[1::2].all()
    assert same[::2].mean() < 0.01
    assert np.array_equal(turned.classes, plain.classes)
    # Turning moves ink, it makes none; what leaves the image is lost.
    assert 0.9 < turned.images[::2].sum() / plain.images[::2].sum() <= 1.01


def test_the_page_says_what_the_records_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Who adds a fold or changes a rule of choosing writes the page again: `python -m benchmarks.peers.ladder --kept`."""
    assert command.main(["--kept", "--print"]) == 0
    assert capsys.readouterr().out.strip() in command.PAGE.read_text(encoding="utf-8")
