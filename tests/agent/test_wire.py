"""Answers by somebody who does not wish the device well."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import WireInvalid
from agent.wire import Way, parse_json, parse_poll_answer, parse_target
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn

SHA = "a" * 64
GOOD: dict[str, Any] = {
    "model": MODEL,
    "action": "install",
    "rollout": "6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "target": {
        "version": "1.1.0",
        "variant": "fp32",
        "sha256": SHA,
        "size_bytes": 900,
        "contract": {"sha256": "b" * 64, "size_bytes": 512},
        "sample_set": None,
        "tolerances": {"atol": 0.001, "rtol": 0.001, "min_agreement": None},
    },
    "ways": [{"way": "raw", "sha256": SHA, "size_bytes": 900}],
    "policy": {"delta_pending": False, "wait_for_delta_s": 600},
}


def parsed(one: object, **answer: object) -> Any:
    document = {"poll_after_s": 60, "installations": [one], **answer}
    return parse_poll_answer(document, models=(MODEL,), max_artifact_bytes=10_000)


def changed(path: str, value: object) -> dict[str, Any]:
    """The good entry with one value replaced."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return document


def test_good_entry_is_understood_and_unknown_fields_are_ignored() -> None:
    answer = parsed({**GOOD, "news": 1, "policy": {**GOOD["policy"], "moon": "full"}})
    assert answer.refused == ()
    assert answer.entries[MODEL].target.sha256 == SHA
    assert [offer.way for offer in answer.entries[MODEL].ways] == [Way.RAW]


WRONG: list[tuple[str, object]] = [
    ("target.sha256", "../../etc/passwd"),
    ("target.sha256", SHA.upper()),
    ("target.sha256", SHA + "\n"),
    ("target.sha256", None),
    ("action", "destroy"),
    ("rollout", "../x"),
    ("ways", {}),
    ("ways", [{"way": "raw", "sha256": "c" * 64, "size_bytes": 900}]),
    ("ways", [{"way": "delta", "sha256": SHA, "size_bytes": 9, "format": 1, "base": "../x"}]),
    ("policy", [1]),
    ("policy.wait_for_delta_s", -5),
    ("policy.wait_for_delta_s", float("inf")),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda value: repr(value)[:40])
def test_wrong_value_refuses_the_entry_and_nothing_else(path: str, value: object) -> None:
    document = {"poll_after_s": 60, "installations": [changed(path, value), {**GOOD, "model": "words"}]}
    answer = parse_poll_answer(document, models=(MODEL, "words"), max_artifact_bytes=10_000)
    assert list(answer.entries) == ["words"]
    assert len(answer.refused) == 1


WRONG_TARGETS = [
    ("sha256", "../../etc/passwd"),
    ("size_bytes", -1),
    ("size_bytes", 10_001),
    ("size_bytes", 1.5),
    ("size_bytes", True),
    ("size_bytes", "900"),
    ("contract", None),
    ("contract.size_bytes", 64_001),
    ("contract.sha256", "/absolute"),
    ("sample_set", {"sha256": "..", "size_bytes": 1}),
    ("version", "1\n2"),
    ("version", ""),
    ("tolerances", {"atol": float("nan")}),
    ("tolerances", {"atol": -1}),
    ("tolerances", []),
    ("limits", {"p50_latency_ns": -1}),
    ("limits", {"peak_memory_bytes": 1.5}),
    ("limits", [1]),
    ("device_classes", "pi5"),
    ("device_classes", ["pi5", 7]),
    ("device_classes", ["x"] * 65),
]


@pytest.mark.parametrize(("path", "value"), WRONG_TARGETS, ids=lambda value: repr(value)[:40])
def test_wrong_value_refuses_a_target(path: str, value: object) -> None:
    """Of what the checking child found, or what is read back from the disk."""
    target = changed(f"target.{path}", value)["target"]
    with pytest.raises(WireInvalid):
        parse_target(target, max_artifact_bytes=10_000)
    assert parse_target(GOOD["target"], max_artifact_bytes=10_000).path == "1.1.0/fp32"


@pytest.mark.parametrize("model", ["../../x", "words", 7, None, "digits/../x"])
def test_line_that_is_not_configured_is_ignored(model: object) -> None:
    assert parsed({**GOOD, "model": model}).entries == {}


@pytest.mark.parametrize(
    "way",
    [
        {"way": "teleport", "sha256": SHA, "size_bytes": 1},
        {"way": "delta", "sha256": SHA, "size_bytes": 1, "format": 99, "base": SHA},
        {"way": "packed", "sha256": SHA, "size_bytes": 10_001, "format": 1},
    ],
)
def test_way_that_this_agent_cannot_go_is_left_out(way: dict[str, Any]) -> None:
    assert [offer.way for offer in parsed(changed("ways", [way, *GOOD["ways"]])).entries[MODEL].ways] == [Way.RAW]


@pytest.mark.parametrize(
    "answer",
    [[], None, "x", {"poll_after_s": 60}, {"installations": []}, {"poll_after_s": "soon", "installations": []}],
)
def test_answer_that_is_none_changes_nothing(answer: object) -> None:
    with pytest.raises(WireInvalid):
        parse_poll_answer(answer, models=(MODEL,), max_artifact_bytes=1)


def test_interval_is_capped_at_a_day() -> None:
    assert parsed(GOOD, poll_after_s=10**20).poll_after_s == 86_400


def test_deep_json_is_an_error_and_no_crash() -> None:
    with pytest.raises(WireInvalid):
        parse_json(b"[" * 200_000, "answer")


def files_outside(device: Device) -> set[Path]:
    return {path for path in device.root.parent.rglob("*") if device.layout.root not in path.parents}


@pytest.mark.parametrize("evil", ["../../escaped", "/tmp/escaped", "..", "a/b", "\0"])
def test_path_from_the_wire_reaches_no_file(device: Device, server: StandIn, evil: str) -> None:
    """The whole agent, with the injection in every place that could become a path."""
    before = files_outside(device)
    good = entry(server, release(1))
    for place in ("model", "target.sha256", "ways.0.sha256"):
        document: Any = json.loads(json.dumps(good))
        *parents, last = place.split(".")
        spot = document
        for name in parents:
            spot = spot[int(name) if name.isdigit() else name]
        spot[last] = evil
        server.entries.append(document)
    assert device.cycle().exit_code == 0
    assert device.current() is None
    assert files_outside(device) == before
    assert server.requests("GET", "artifacts/") == []
