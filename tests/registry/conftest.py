"""Shared by the registry's tests."""

import pytest
from rest_framework.test import APIClient

from tests.factories.people import api_as


@pytest.fixture
def publisher(db: None) -> APIClient:
    """A client that may read and publish."""
    return api_as("publisher")


@pytest.fixture
def viewer(db: None) -> APIClient:
    """A client that may read."""
    return api_as("viewer")
