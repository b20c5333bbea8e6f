"""The state document: what it holds comes back, and what earlier versions wrote is still read."""

import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from agent import state
from agent.clock import Instant
from agent.errors import WireInvalid
from agent.state import LineState, Pending, Setback, Stage, State
from agent.wire import Blob, Offer, Target, Tolerances, Way

OLD, NEW = "a" * 64, "b" * 64
TARGET = Target("1.1.0", "fp32", NEW, 900, Blob("d" * 64, 10), None, Tolerances())
PENDING = Pending(
    "11111111-1111-1111-1111-111111111111",
    None,
    TARGET,
    Instant("boot", 5.0),
    stage=Stage.OBSERVED,
    offer=Offer(Way.RAW, NEW, 900),
    setback=Setback("health", "hook-refused", "exit 1"),
    seq=4,
    smoke_runs=1,
    shadow_runs=1,
    health_runs=2,
    replaces=OLD,
)
LINE = LineState(previous=OLD, pending=PENDING, verified=Instant("boot", 9.0), damaged=NEW)
# As the first version wrote it: without what came later.
EARLIER: dict[str, Any] = {
    "schema": "smallfleet-agent-state/1",
    "lines": {
        "digits": {
            "previous": OLD,
            "pending": {
                "attempt": "11111111-1111-1111-1111-111111111111",
                "rollout": None,
                "target": {
                    "version": "1.1.0",
                    "variant": "fp32",
                    "sha256": NEW,
                    "size_bytes": 900,
                    "contract": {"sha256": "d" * 64, "size_bytes": 10},
                    "sample_set": None,
                    "tolerances": {"atol": None, "rtol": None, "min_agreement": None},
                },
                "since": {"boot_id": "boot", "uptime_s": 5.0},
                "stage": "checked",
                "offer": {"way": "raw", "sha256": NEW, "size_bytes": 900, "base": None, "format": None},
                "failed_offers": [],
                "setback": None,
                "seq": 3,
                "smoke_runs": 1,
                "replaces": None,
                "accounted": {},
            },
            "failures": [],
            "benchmark": None,
        }
    },
    "heard": None,
    "facts": None,
    "events": [],
}


def test_what_is_written_comes_back() -> None:
    known = State(lines=MappingProxyType({"digits": LINE}))
    for stage in Stage:
        line = replace(LINE, pending=replace(PENDING, stage=stage))
        assert state.from_json(state.to_json(known.with_line("digits", line))).lines["digits"] == line


def test_document_of_an_earlier_version_is_read() -> None:
    line = state.from_json(json.dumps(EARLIER).encode()).lines["digits"]
    assert line.pending is not None
    assert (line.pending.stage, line.pending.shadow_runs, line.pending.health_runs) == (Stage.CHECKED, 0, 0)
    assert (line.previous, line.verified, line.damaged, line.refused) == (OLD, None, None, None)


@pytest.mark.parametrize(
    "damage",
    [
        {"events": [7]},
        {"events": [{"attempt": "x", "seq": 0}]},
        {"heard": {"said": "x", "etag": None, "poll_after_s": 60, "installations": [7]}},
        {"heard": {"said": "x", "etag": None, "poll_after_s": float("inf"), "installations": []}},
        {"lines": {"digits": None}},
    ],
)
def test_document_that_is_json_and_no_state_is_damaged(damage: dict[str, object]) -> None:
    with pytest.raises(WireInvalid):
        state.from_json(json.dumps(EARLIER | damage).encode())
