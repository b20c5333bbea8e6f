"""What the arithmetic and the weights alone would cost on an assumed chip: comparable across models, not joules measured.

Two tables, because logic shrinks and DRAM does not, so the share of memory grows:

- `horowitz45`, 45 nm at 0.9 V: Horowitz, ISSCC 2014; multiply plus add: fp32 4.6 pJ, fp16 1.5 pJ, int8 into int32 0.3 pJ.
- `jouppi7`, 7 nm: Jouppi et al., ISCA 2021, table 2, by two concordant quotations: int8 multiply 0.07 and int32 add 0.03 pJ; of fp32 (1.31 pJ)
  and fp16 (0.34 pJ) the multiplication alone, which keeps it a lower bound.

DRAM for both: 64 pJ/byte (LPDDR4, Accelergy's CACTI plug-in) to 162.5 pJ/byte (QKeras; and DDR3/4's 1,300 pJ per 64 bit in the table of 7 nm).
On-chip budget: 8192 KiB. A CPU's instruction overhead is far above all of it, so the figures are lower bounds.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import Absent, Maybe

_MAC_PJ = {"float32": 4.6, "float16": 1.5, "bfloat16": 1.5, "int8": 0.3, "uint8": 0.3}
_MAC_PJ_7NM = {"float32": 1.31, "float16": 0.34, "int8": 0.10, "uint8": 0.10}
_DRAM_PJ_PER_BYTE = (64.0, 162.5)
_ON_CHIP_BYTES = 8192 * 1024


def analytic_block(static: Mapping[str, Any]) -> Maybe[dict[str, Any]]:
    """The lower bound from a static cost: MACs by "act x weight" dtype, bytes of parameters, peak of activations.

    A pair is priced by its dearer operand: float activations times int8 weights are float multiplications.
    """
    peak = static["peak_activation_bytes"]
    older = _priced(static, _MAC_PJ)
    if isinstance(older, Absent):
        return older
    if peak is None:
        return Absent("the peak of activations is not known, so the on-chip budget cannot be tested")
    fits = static["param_bytes"] + peak <= _ON_CHIP_BYTES
    dram_j = [static["param_bytes"] * price / 1e12 for price in _DRAM_PJ_PER_BYTE]
    newer = _priced(static, _MAC_PJ_7NM)
    return {
        "table": "horowitz45",
        "mac_pj": older,
        "dram_pj_byte": list(_DRAM_PJ_PER_BYTE),
        "e_mac_j": (mac_j := _mac_joules(static, older)),
        "e_mem_j": dram_j,
        "fits_8192_kib": fits,
        "e_total_j": _total(mac_j, dram_j, fits=fits),
        "at_7nm": newer
        if isinstance(newer, Absent)
        else {
            "table": "jouppi7",
            "e_mac_j": (mac_7nm_j := _mac_joules(static, newer)),
            "e_total_j": _total(mac_7nm_j, dram_j, fits=fits),
        },
        "note": "lower bound, not measured",
    }


def _priced(static: Mapping[str, Any], table: Mapping[str, float]) -> Maybe[dict[str, float]]:
    """Picojoules of one multiply-accumulate of each pair of dtypes."""
    prices = {pair: _price(pair, table) for pair in static["macs"]}
    unknown = sorted(pair for pair, price in prices.items() if price is None)
    if unknown:
        return Absent(f"no energy per operation is known for {', '.join(unknown)}")
    return {pair: price for pair, price in prices.items() if price is not None}


def _price(pair: str, table: Mapping[str, float]) -> float | None:
    """The dearer operand's price; weights of other widths (int4) are widened to what the activations have."""
    act, weight = (table.get(dtype) for dtype in pair.split("\u00d7"))
    return None if act is None else max(act, weight or 0.0)


def _mac_joules(static: Mapping[str, Any], mac_pj: Mapping[str, float]) -> float:
    joules: float = sum(static["macs"][pair] * price for pair, price in mac_pj.items()) / 1e12
    return joules


def _total(mac_j: float, dram_j: list[float], *, fits: bool) -> list[float]:
    """Every weight is read from DRAM once, unless all of the model fits on the chip."""
    return [mac_j, mac_j] if fits else [mac_j + joules for joules in dram_j]
