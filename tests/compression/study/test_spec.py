"""Specs: what is read, and that every wrong key or value is named with its path."""

from pathlib import Path

import pytest

from compression.errors import RecipeInvalid
from compression.study.spec import StudySpec, load_spec, parse_spec, ready_specs

GOOD = """
schema = "smallfleet-study/1"
name = "small"
[benchmark]
data = "digits"
[[objective]]
metric = "accuracy"
[[budget]]
metric = "size_bytes"
at_most = 10_000
[space]
family = "squeezenet"
[space.net]
fires = 2
pct_3x3 = [0.25, 0.75]
[[space.step]]
do = "static_int8"
use = [true, false]
calibration_samples = { low = 64, high = 192, step = 64 }
[training]
epochs = 1
[search]
sampler = "grid"
"""


def parse(text: str) -> StudySpec:
    return parse_spec(text, folder=Path("/spec"))


def test_spec_is_read_into_frozen_objects() -> None:
    spec = parse(GOOD)
    assert spec.point_count() == 2 * 2 * 3
    assert list(spec.space.parameters) == ["pct_3x3", "static_int8.calibration_samples", "static_int8.use"]
    assert spec.space.fixed == {"fires": 2}
    combinations = spec.space.grid()
    assert combinations is not None
    first, *_, last = combinations
    assert first == {"pct_3x3": 0.25, "static_int8.calibration_samples": 64, "static_int8.use": True}
    assert [do for do, _ in spec.space.design(first).steps] == ["static_int8"]
    assert spec.space.design(last).steps == ()


@pytest.mark.parametrize("name", list(ready_specs()))
def test_ready_spec_can_be_used(name: str) -> None:
    spec = load_spec(name)
    assert (spec.name, spec.point_count() > 0) == (name, True)


SPACE = 'family = "squeezenet"'
WRONG = [
    (GOOD, GOOD + "[", "no TOML"),
    ('schema = "smallfleet-study/1"', "", "schema: expected"),
    ("smallfleet-study/1", "smallfleet-study/9", "schema: expected"),
    ('name = "small"', 'name = "Big One"', "name: expected small letters"),
    ('name = "small"', "", "name: expected small letters"),
    ('name = "small"', 'name = "small-"', "name: expected small letters"),
    ('name = "small"', 'name = "small"\nsede = 3', "sede: unknown key, did you mean 'seed'"),
    ('name = "small"', 'name = "small"\nseed = "x"', "seed: expected a whole number"),
    ('data = "digits"', "", "benchmark.data: is missing"),
    ("[benchmark]\n", "[benchmarks]\n", "benchmarks: unknown key"),
    ('data = "digits"', 'data = "digits"\nheld_out = 1.5', "benchmark.held_out: expected 0.01 to 0.9, got 1.5"),
    ('data = "digits"', 'data = "digits"\nfolds = 1', "benchmark.folds: expected 0, or 2 to 20"),
    ('data = "digits"', 'data = "digits"\nlatency = "smok"', "benchmark.latency: .*did you mean 'smoke'"),
    ('[[objective]]\nmetric = "accuracy"', "", "objective: expected at least one"),
    ('[[objective]]\nmetric = "accuracy"', "[[objective]]", r"objective\[0\].metric: is missing"),
    ('metric = "accuracy"', 'metric = "acuracy"', r"objective\[0\].metric: .*did you mean 'accuracy'"),
    ('metric = "accuracy"', 'metric = "accuracy"\ngoal = "min"', r"objective\[0\].goal: accuracy is better at its"),
    ('metric = "accuracy"', 'metric = "delta_bytes"', "objective: delta_bytes needs benchmark.base"),
    ('[[objective]]\nmetric = "accuracy"', "[objective]", r"objective: expected tables \[\[objective\]\]"),
    ('[[budget]]\nmetric = "size_bytes"', '[[budget]]\nmetric = "size"', r"budget\[0\].metric"),
    ("at_most = 10_000", "", r"budget\[0\]: expected one of at_most and at_least"),
    ("at_most = 10_000", "at_most = 1\nat_least = 1", r"budget\[0\]: expected one of at_most and at_least"),
    ("at_most = 10_000", "at_most = -1", r"budget\[0\].at_most: expected at least 0, got -1"),
    (SPACE, 'family = "squeezent"', "space.family: .*did you mean 'squeezenet'"),
    (SPACE, "", "space.family: is missing"),
    (SPACE, SPACE + "\nkind = 1", "space.kind: unknown key"),
    ("fires = 2", "fire = 2", "space.net.fire: unknown key, did you mean 'fires'"),
    ("fires = 2", "fires = 2.5", "space.net.fires: expected a whole number, got 2.5"),
    ("[0.25, 0.75]", "[0.25, 1.75]", "space.net.pct_3x3: expected 0 to 1, got 1.75"),
    ("[0.25, 0.75]", "[0.25, 0.25]", r"space.net.pct_3x3\[1\]: 0.25 is there already"),
    ("[0.25, 0.75]", "[0.25]", "space.net.pct_3x3: a list has at least two values"),
    ("[0.25, 0.75]", "{ low = 0.2, high = 0.1 }", "space.net.pct_3x3: low must be below high"),
    ("[0.25, 0.75]", "{ low = 0.2 }", "space.net.pct_3x3.high: is missing"),
    ("[0.25, 0.75]", "{ low = 0.2, hihg = 0.4 }", "space.net.pct_3x3.hihg: unknown key, did you mean 'high'"),
    ("[0.25, 0.75]", "{ low = 0.2, high = 0.4 }", "space.net.pct_3x3: a grid needs a list of values"),
    ("[0.25, 0.75]", "{ low = 0.2, high = 4.0, step = 0.1 }", "space.net.pct_3x3: expected 0 to 1"),
    ("[0.25, 0.75]", "{ low = 0.2, high = 0.4, step = 0.1, log = true }", "space.net.pct_3x3.log: not with a step"),
    ("fires = 2", "fires = { low = 1, high = 2.5 }", "space.net.fires.high: expected a whole number"),
    ('do = "static_int8"', 'do = "static_int9"', r"space.step\[0\].do: no step .*did you mean 'static_int8'"),
    ('do = "static_int8"', "", r"space.step\[0\].do: is missing"),
    ("use = [true, false]", "used = true", r"space.step\[0\].used: unknown key, did you mean 'use'"),
    ("low = 64", "low = 0", r"space.step\[0\].calibration_samples: expected 1 to"),
    ("use = [true, false]", "use = { low = 1, high = 2 }", r"space.step\[0\].use: a range is for numbers"),
    ("epochs = 1", "epochs = 0", "training.epochs: expected 1 to"),
    ("epochs = 1", "epoch = 1", "training.epoch: unknown key, did you mean 'epochs'"),
    ('sampler = "grid"', 'sampler = "grid"\npoints = 3', "search.points: a grid has as many points"),
    ('sampler = "grid"', 'sampler = "tpe"', "search.points: is missing, tpe does not end"),
    ('sampler = "grid"', 'sampler = "grid"\n[early_stop]\nmargin = 2', "early_stop.margin: expected 0 to 1, got 2"),
]


@pytest.mark.parametrize(("was", "wrong", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_wrong_spec_is_refused_with_the_path_of_its_key(was: str, wrong: str, message: str) -> None:
    assert was in GOOD
    with pytest.raises(RecipeInvalid, match=message):
        parse(GOOD.replace(was, wrong, 1))


def test_space_in_which_nothing_varies_is_refused() -> None:
    text = GOOD[: GOOD.index("[[space.step]]")].replace("[0.25, 0.75]", "0.5")
    with pytest.raises(RecipeInvalid, match="space: nothing varies"):
        parse(text)


def test_missing_spec_names_the_ready_one_that_was_meant() -> None:
    with pytest.raises(RecipeInvalid, match="did you mean 'smallest-digits'"):
        load_spec("smallest-digit")


def test_grid_beyond_all_means_is_refused() -> None:
    wide = GOOD.replace("fires = 2", "fires = { low = 1, high = 32 }\nbase_e = { low = 2, high = 2048 }")
    with pytest.raises(RecipeInvalid, match=r"space: .* combinations, a grid may have 10,000"):
        parse(wide)


@pytest.mark.parametrize(
    ("was", "now", "is_same"),
    [
        ("at_most = 10_000", "at_most = 20_000", True),
        ('name = "small"', 'name = "other"', True),
        ("epochs = 1", "epochs = 2", False),
        ("[0.25, 0.75]", "[0.25, 0.5]", False),
        ('data = "digits"', 'data = "mnist14"', False),
    ],
)
def test_fingerprint_changes_with_what_decides_a_figure(was: str, now: str, *, is_same: bool) -> None:
    assert (parse(GOOD).fingerprint() == parse(GOOD.replace(was, now)).fingerprint()) is is_same


def test_range_has_its_levels_without_the_noise_of_binary_fractions() -> None:
    spec = parse(GOOD.replace("[0.25, 0.75]", "{ low = 0.1, high = 0.7, step = 0.1 }"))
    assert spec.space.parameters["pct_3x3"].levels() == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
