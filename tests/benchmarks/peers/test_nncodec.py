"""What NNCodec is asked for. Installing it is not part of the tests."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.codecs.nncodec import QPS, Setting, _by_number, qp_by_importance, sweep


def _differences(**sizes: int) -> dict[str, np.ndarray]:
    return {name: np.ones(size, np.float32) for name, size in sizes.items()}


def test_importance_of_a_tensor_sixteen_times_greater_takes_a_step_a_quarter_as_wide() -> None:
    found = qp_by_importance(_differences(heavy=100, light=10), {"heavy": 1.0, "light": 16.0}, -32)

    assert found == {"heavy": -32, "light": -40}


@given(
    importance=st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e30), min_size=1),
    qp=st.sampled_from(QPS),
)
def test_any_importance_gives_each_tensor_a_step_within_three_octaves_of_the_middle(
    importance: dict[str, float], qp: int
) -> None:
    found = qp_by_importance(_differences(**dict.fromkeys(importance, 8)), importance, qp)

    assert found.keys() == importance.keys()
    assert all(abs(one - qp) <= 12 for one in found.values())
    assert qp in found.values()


def test_sweep_asks_for_every_way_at_every_step_and_for_importance_only_where_it_is_known() -> None:
    differences = _differences(weight=4, bias=1)

    with_importance = list(sweep(differences, {"weight": 1.0, "bias": 1.0}))
    without = list(sweep(differences, None))

    assert {setting.qp for setting in without} == set(QPS)
    assert len(with_importance) == len(without) + len(QPS)
    assert all(setting.qp_per_tensor is None for setting in without)


def test_tensors_go_to_the_child_by_number_and_unknown_ones_not_at_all() -> None:
    setting = Setting("by importance", -30, qp_per_tensor={"b": -28, "a": -32, "zero": -99})

    assert _by_number(setting, ["a", "b"]) == {
        "name": "by importance",
        "qp": -30,
        "nonweight_qp": None,
        "opt_qp": False,
        "qp_per_tensor": {"t0": -32, "t1": -28},
    }
