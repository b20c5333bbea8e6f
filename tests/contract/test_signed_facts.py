"""What a publisher signs of a variant, what the registry compares it with, and what a device reads in it: one and the same."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from tuf.api.metadata import TargetFile

from agent import wire
from agent.trust import child, files
from client.options import HEALTH_LIMITS
from client.trust.documents import MAX_TARGETS, ROOT_LIFE, TARGETS_LIFE
from client.trust.live import LocalFile, SignedFacts
from registry.errors import MetadataDiffers, WrongModelLine
from registry.trust import verification
from registry.trust.verification import VariantFacts, check_facts

MODEL, CONTRACT, SAMPLES = (LocalFile(letter * 64, size) for letter, size in (("a", 1000), ("b", 200), ("c", 3000)))
PLAIN = SignedFacts("digits", "1.1.0", "int8", MODEL, CONTRACT)
FULL = replace(
    PLAIN,
    sample_set=SAMPLES,
    tolerances={"atol": 1.2345678901234567e-05, "rtol": 1e-07, "min_agreement": 0.98},
    limits={"p50_latency_ns": 12_500_000, "peak_memory_bytes": 64 * 2**20},
    device_classes=["pi5", "pi4"],
    is_downgrade_allowed=True,
)


def known(facts: SignedFacts) -> VariantFacts:
    """The same variant as the registry knows it."""
    samples = (facts.sample_set.sha256, facts.sample_set.size_bytes) if facts.sample_set else None
    file, contract = ((one.sha256, one.size_bytes) for one in (facts.file, facts.contract))
    return VariantFacts(facts.version, facts.variant, file, contract, samples, dict(facts.tolerances))


def over_the_wire(facts: SignedFacts) -> TargetFile:
    """The target as it comes out of signed bytes."""
    return TargetFile.from_dict(facts.as_target().to_dict(), facts.path)


@pytest.mark.parametrize("facts", [PLAIN, FULL, replace(PLAIN, tolerances={"atol": 1e22})])
def test_registry_takes_what_a_publisher_signs(facts: SignedFacts) -> None:
    check_facts([over_the_wire(facts)], model="digits", known=[known(facts)])


@pytest.mark.parametrize(
    "change",
    [
        {"file": LocalFile("f" * 64, 1000)},
        {"file": LocalFile("a" * 64, 1001)},
        {"contract": LocalFile("f" * 64, 200)},
        {"sample_set": None},
        {"sample_set": LocalFile("c" * 64, 3001)},
        {"tolerances": {"atol": 0.5}},
        {"tolerances": {}},
        {"variant": "fp32"},
        {"version": "1.1.1"},
    ],
)
def test_registry_refuses_what_differs_from_what_it_has(change: dict[str, Any]) -> None:
    with pytest.raises(MetadataDiffers):
        check_facts([over_the_wire(replace(FULL, **change))], model="digits", known=[known(FULL)])


def test_registry_refuses_the_facts_of_another_line() -> None:
    with pytest.raises(WrongModelLine):
        check_facts([over_the_wire(replace(FULL, model="kws"))], model="digits", known=[known(FULL)])


@pytest.mark.parametrize("facts", [PLAIN, FULL, replace(PLAIN, tolerances={"atol": 1e22})])
def test_device_reads_what_a_publisher_signs(facts: SignedFacts) -> None:
    """From the checking child's answer, as the daemon takes it."""
    answer = json.loads(json.dumps(child._target(over_the_wire(facts))))
    read = wire.parse_target(answer, max_artifact_bytes=wire.ANY_SIZE)
    assert (read.path, read.sha256, read.size_bytes) == (facts.path, facts.file.sha256, facts.file.size_bytes)
    assert (read.contract.sha256, read.contract.size_bytes) == (facts.contract.sha256, facts.contract.size_bytes)
    samples = None if read.sample_set is None else LocalFile(read.sample_set.sha256, read.sample_set.size_bytes)
    assert samples == facts.sample_set
    assert {name: value for name, value in asdict(read.tolerances).items() if value is not None} == facts.tolerances
    assert {name: value for name, value in asdict(read.limits).items() if value is not None} == facts.limits
    assert sorted(read.device_classes) == sorted(facts.device_classes)
    assert read.downgrade is facts.is_downgrade_allowed


def test_limits_are_the_registrys() -> None:
    assert {name for name, _unit in HEALTH_LIMITS.values()} == set(verification._LIMITS)
    assert MAX_TARGETS == verification.MAX_TARGETS == files.MAX_TARGETS
    assert verification.MAX_LIFE["root"] > ROOT_LIFE
    assert verification.MAX_LIFE["targets"] > TARGETS_LIFE
