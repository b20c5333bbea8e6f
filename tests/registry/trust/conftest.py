"""Shared by the tests of trust: a line whose trust is really there."""

from dataclasses import dataclass

import pytest
from rest_framework.test import APIClient

from registry.models import ModelLine, Variant
from tests.factories.people import api_as
from tests.factories.registry import make_line, make_variant, make_version, onnx_model
from tests.factories.trust import SignedLine, target_of
from tests.registry.wire import new_signed_line, sign_targets


@pytest.fixture
def publisher(db: None) -> APIClient:
    """A client that may read and publish."""
    return api_as("publisher")


@pytest.fixture
def viewer(db: None) -> APIClient:
    """A client that may read."""
    return api_as("viewer")


@dataclass
class Home:
    """A line with two variants of one version, of which the first is signed."""

    line: ModelLine
    fp32: Variant
    int8: Variant
    signed: SignedLine


@pytest.fixture
def home(publisher: APIClient) -> Home:
    """`digits` 1.0.0 with root 1 and targets 1."""
    line = make_line()
    version = make_version(line)
    fp32, int8 = (
        make_variant(version, name, content=onnx_model(seed), is_live=False)
        for seed, name in enumerate(("fp32", "int8"))
    )
    signed = new_signed_line(publisher)
    assert sign_targets(publisher, signed, target_of(fp32)).status_code == 201
    return Home(line, fp32, int8, signed)
