"""Thousands of damaged patches: each is refused with the codec's own error, or restores the right bytes; nothing is left.

`SMALLFLEET_TEST_MUTATIONS` sets how many are applied; CI's take some ten seconds.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from delta.arrays import ITEM_TYPES
from delta.coders import CODERS
from delta.contexts import LEVELS
from delta.corrections import CORRECTIONS
from delta.entropy.symbols import Mapping
from delta.errors import DeltaError
from delta.formulas import OPERATIONS
from delta.predictors import PREDICTORS
from delta.streams import BLOCK_HEADER, BLOCKS, CODED, KINDS
from tests.properties.delta_mutation import LIMITS, Parts, Specimen, damaged
from tests.properties.delta_specimens import specimens

MUTATIONS = int(os.environ.get("SMALLFLEET_TEST_MUTATIONS", "1000"))
PEAK_GROWTH_KIB = 64 << 10
"""What one patch may make the decoder take within `Limits`: buffers, window and index."""


@pytest.fixture(scope="module")
def patches() -> list[Specimen]:
    return specimens()


def test_mutants_are_refused_or_right(patches: list[Specimen], tmp_path: Path) -> None:
    (tmp_path / "specimens").mkdir()
    (tmp_path / "work").mkdir()
    for specimen in patches:
        specimen.save(tmp_path / "specimens")
    module = "tests.properties.delta_mutation"
    arguments = ["20", str(MUTATIONS), str(tmp_path / "specimens"), str(tmp_path / "work")]
    command = [sys.executable, "-X", "faulthandler", "-m", module, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
    outcome = json.loads(ended.stdout)
    print(outcome)  # noqa: T201 - the figures of a long run, with pytest -s
    assert sum(outcome["counts"].values()) == MUTATIONS
    assert set(outcome["counts"]) >= {"right", "patch-malformed", "output-mismatch", "wrong-base", "limit-exceeded"}
    assert outcome["longest_s"] < LIMITS.wall_s + 2
    assert outcome["peak_growth_kib"] < PEAK_GROWTH_KIB


def test_specimens_use_all_that_the_format_has(patches: list[Specimen]) -> None:
    """Whoever adds a predictor, a correction or a kind of stream adds a patch that uses it."""
    parts = [Parts.of(specimen.patch) for specimen in patches]
    spans = [span for one in parts for span in one.spans]
    assert {span[0] for span in spans} == set(PREDICTORS)
    assert {span[1] for span in spans} == set(CORRECTIONS)
    streams = [(one.head[5 * number :][:5], body) for one in parts for number, body in enumerate(one.bodies)]
    assert {entry[0] for entry, _ in streams} == set(KINDS)
    assert {entry[1] for entry, _ in streams} == set(range(len(ITEM_TYPES)))
    assert {body[0] for entry, body in streams if entry[0] == CODED} == set(Mapping)
    assert {coder for entry, body in streams if entry[0] == BLOCKS for coder in coders_of(bytes(body))} == set(CODERS)
    models = [model for one in parts for model in one.contexts]
    assert {model.level for model in models} == set(range(len(LEVELS)))
    assert {formula.operation for one in parts for formula in one.formulas} == set(OPERATIONS)
    assert any(model.channels and model.second_channels for model in models)


def coders_of(body: bytes) -> set[int]:
    """The coders of a stream's blocks."""
    found = set()
    at = 0
    while at < len(body):
        number, _, coded_bytes = BLOCK_HEADER.unpack_from(body, at)
        found.add(number)
        at += BLOCK_HEADER.size + coded_bytes
    return found


def test_damaged_blocks_are_refused_or_harmless() -> None:
    """Every coder and item type: a wrong block gives items of the declared number and type, or the codec's error."""
    chance = random.Random(21)  # noqa: S311 - repeatable
    numbers = np.random.default_rng(4)
    blocks = []
    for item in ITEM_TYPES:
        items = (numbers.normal(size=500) * 20).astype(item)
        for coder in CODERS.values():
            coded = coder.encode(items, level=8)
            blocks += [] if coded is None else [(coder, item, coded)]
    for _ in range(6000):
        coder, item, coded = chance.choice(blocks)
        count = chance.choice((500, 500, 1, 499, 501, 1 << 17))
        try:
            items = coder.decode(damaged(coded, chance), item, count)
        except DeltaError:
            continue
        assert (items.dtype, items.size) == (item, count)
