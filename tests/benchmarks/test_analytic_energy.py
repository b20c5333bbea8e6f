"""The analytic bound of energy, by hand."""

import pytest

from benchmarks.energy.analytic import analytic_block
from benchmarks.report import Absent
from benchmarks.table import millijoules


def _static(**macs: int) -> dict[str, object]:
    named = {pair.replace("_", "\u00d7"): count for pair, count in macs.items()}
    return {"macs": named, "param_bytes": 5_000_000, "peak_activation_bytes": 6_000_000}


def test_analytic_bound_adds_arithmetic_and_weights_when_the_chip_is_too_small() -> None:
    """1 G int8 multiply-adds at 0.3 pJ are 0.3 mJ; 5 MB from DRAM at 64 and 162.5 pJ/B are 0.32 and 0.8125 mJ."""
    block = analytic_block(_static(uint8_int8=10**9))

    assert not isinstance(block, Absent)
    assert block["fits_8192_kib"] is False
    assert block["e_mac_j"] == pytest.approx(0.3e-3)
    assert block["e_total_j"] == pytest.approx([0.62e-3, 1.1125e-3])
    assert block["at_7nm"]["e_mac_j"] == pytest.approx(0.1e-3)
    assert block["at_7nm"]["e_total_j"] == pytest.approx([0.42e-3, 0.9125e-3])


def test_analytic_bound_reads_no_dram_when_everything_fits() -> None:
    block = analytic_block({**_static(float32_float32=10**9), "param_bytes": 1_000_000})

    assert not isinstance(block, Absent)
    assert block["e_total_j"] == pytest.approx([4.6e-3, 4.6e-3])


def test_weight_only_quantisation_pays_for_float_arithmetic() -> None:
    block = analytic_block(_static(float32_int4=10**9))

    assert not isinstance(block, Absent)
    assert block["e_mac_j"] == pytest.approx(4.6e-3)


def test_dtype_that_only_one_table_knows_leaves_the_other_absent() -> None:
    block = analytic_block(_static(bfloat16_bfloat16=10**9))

    assert not isinstance(block, Absent)
    assert block["e_mac_j"] == pytest.approx(1.5e-3)
    assert isinstance(block["at_7nm"], Absent)


def test_unknown_dtype_or_peak_gives_no_figure() -> None:
    assert isinstance(analytic_block(_static(float64_float64=1)), Absent)
    assert isinstance(analytic_block({**_static(float32_float32=1), "peak_activation_bytes": None}), Absent)


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.98e-6, 0.98e-6, "0.00098 mJ"), (6.2e-4, 1.1e-3, "0.62 to 1.1 mJ"), (0, 0, "0 mJ")]
)
def test_bounds_that_are_one_figure_are_shown_once(low: float, high: float, text: str) -> None:
    assert millijoules(low, high) == text
