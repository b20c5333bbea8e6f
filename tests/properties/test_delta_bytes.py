"""Any two byte strings: the patch restores the second from the first, at both efforts, and never costs more than a constant."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from delta.encoder import Effort
from tests.properties.delta_round_trip import round_trip

chunks = st.lists(st.binary(max_size=200), max_size=6)
efforts = st.sampled_from(list(Effort))


@settings(deadline=None, max_examples=80)
@given(base=st.none() | st.binary(max_size=2000), new=st.binary(max_size=2000), effort=efforts)
def test_any_bytes_come_back(base: bytes | None, new: bytes, effort: Effort) -> None:
    assert round_trip(base, new, effort) <= len(new) + 200


@settings(deadline=None, max_examples=80)
@given(
    parts=chunks, order=st.randoms(use_true_random=False), inserted=st.binary(max_size=50), repeat=st.integers(1, 40)
)
def test_shuffled_and_repeated_parts_come_back(
    parts: list[bytes], order: random.Random, inserted: bytes, repeat: int
) -> None:
    base = b"".join(parts) * repeat
    shuffled = list(parts)
    order.shuffle(shuffled)
    round_trip(base, inserted.join(shuffled) * repeat, Effort.FAST)
