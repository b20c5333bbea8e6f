"""Torch's switches belong to the process: what one test leaves changed, the next one computes with."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _torch_is_left_as_it_was() -> Iterator[None]:
    torch = sys.modules.get("torch")
    before = None if torch is None else (torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype())
    yield
    if torch is not None:
        assert (torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()) == before
