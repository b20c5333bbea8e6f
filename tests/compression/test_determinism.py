"""Switches of torch are set for a while and put back."""

import pytest
import torch

from compression.determinism import any_order, repeatable


def test_switches_are_put_back_even_after_a_failure() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    inside: list[tuple[int, bool]] = []

    @repeatable(threads=1)
    def fail() -> None:
        inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [(1, True)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_one_operation_may_take_any_order_within_what_is_repeatable() -> None:
    with repeatable():
        with any_order():
            assert not torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
