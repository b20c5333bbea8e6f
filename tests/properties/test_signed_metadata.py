"""Whatever is signed, and however it is damaged: metadata is kept as it was signed, or refused by a problem. Nothing else ever comes out."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from access.errors import ProblemError
from registry.trust.verification import VariantFacts, check_facts, check_root, check_targets
from tests.factories.trust import SignedLine, make_target, new_key, online_keys_of

NOW = datetime.now(UTC)
SERVER = (new_key(), new_key())
ONLINE = {"snapshot": SERVER[0].public_key.keyid, "timestamp": SERVER[1].public_key.keyid}
SIGNED = SignedLine("digits", online_keys_of(*SERVER))
CONTRACT = b"contract"
TARGET = make_target(
    "digits",
    "1.0.0",
    "fp32",
    b"model",
    contract=CONTRACT,
    tolerances={"atol": "0.001"},
    limits={"p50_latency_ns": 5_000_000},
    device_classes=["pi4"],
)
FACTS = VariantFacts(
    version="1.0.0",
    variant="fp32",
    model=(TARGET.hashes["sha256"], TARGET.length),
    contract=(TARGET.custom["contract"]["sha256"], len(CONTRACT)),
    sample_set=None,
    tolerances={"atol": 0.001},
)
TARGETS = SIGNED.next_targets([TARGET])
ROOT = SIGNED.root_bytes()


def take_targets(content: bytes) -> dict[str, Any]:
    """What is kept of targets metadata."""
    targets = check_targets(content, version=1, model="digits", root=SIGNED.root, now=NOW)
    check_facts(targets.targets.values(), model="digits", known=[FACTS])
    return targets.to_dict()


def take_root(content: bytes) -> dict[str, Any]:
    """What is kept of a root."""
    root = check_root(content, version=1, model="digits", previous=None, online=ONLINE, now=NOW)
    return root.to_dict()


KINDS: dict[str, tuple[bytes, Callable[[bytes], dict[str, Any]], Any]] = {
    "targets": (TARGETS, take_targets, SIGNED.publishers),
    "root": (ROOT, take_root, SIGNED.root_keys),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def test_what_these_tests_damage_is_good_as_it_is() -> None:
    for content, take, _ in KINDS.values():
        assert take(content) == json.loads(content)["signed"]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_unless_they_say_the_same(kind: str, data: st.DataObject) -> None:
    content, take, _ = KINDS[kind]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 8)))
    damaged = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    try:
        kept = take(damaged)
    except ProblemError:
        return
    assert kept == json.loads(content)["signed"]


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document, but the document itself."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(data=st.data())
def test_whatever_a_publisher_signs_is_kept_or_refused_by_a_problem(kind: str, data: st.DataObject) -> None:
    """Keys may be in hands that mean harm: any field may have any value, and the signature is right."""
    content, take, signers = KINDS[kind]
    document = json.loads(content)
    signed = document["signed"]
    *above, last = data.draw(st.sampled_from(list(places(signed))))
    holder = signed
    for key in above:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(VALUES)
    else:
        del holder[last]
    payload = str(encode_canonical(signed)).encode()
    document["signatures"] = [signer.sign(payload).to_dict() for signer in signers]
    try:
        take(json.dumps(document).encode())
    except ProblemError:
        return
