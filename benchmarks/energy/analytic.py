"""What the arithmetic and the weights alone would cost on an assumed chip: comparable across models, not joules measured.

Energies per operation at 45 nm, 0.9 V: Horowitz, ISSCC 2014 (multiply plus add): fp32 4.6 pJ, fp16 1.5 pJ, int8 into int32
0.3 pJ. DRAM: 64 pJ/byte (LPDDR4, Accelergy's CACTI plug-in) to 162.5 pJ/byte (QKeras). On-chip budget: 8192 KiB.
A CPU's instruction overhead is far above all of it, so the figure is a lower bound.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import Absent, Maybe

_MAC_PJ = {"float32": 4.6, "float16": 1.5, "bfloat16": 1.5, "int8": 0.3, "uint8": 0.3}
_DRAM_PJ_PER_BYTE = (64.0, 162.5)
_ON_CHIP_BYTES = 8192 * 1024


def analytic_block(static: Mapping[str, Any]) -> Maybe[dict[str, Any]]:
    """The lower bound from a static cost: MACs by "act x weight" dtype, bytes of parameters, peak of activations.

    A pair is priced by its dearer operand: float activations times int8 weights are float multiplications.
    """
    prices = {pair: _price(pair) for pair in static["macs"]}
    unknown = sorted(pair for pair, price in prices.items() if price is None)
    if unknown:
        return Absent(f"no energy per operation is known for {', '.join(unknown)}")
    mac_pj = {pair: price for pair, price in prices.items() if price is not None}
    mac_j = sum(static["macs"][pair] * price for pair, price in mac_pj.items()) / 1e12
    peak = static["peak_activation_bytes"]
    if peak is None:
        return Absent("the peak of activations is not known, so the on-chip budget cannot be tested")
    fits = static["param_bytes"] + peak <= _ON_CHIP_BYTES
    dram_j = [static["param_bytes"] * price / 1e12 for price in _DRAM_PJ_PER_BYTE]
    return {
        "table": "horowitz45",
        "mac_pj": mac_pj,
        "dram_pj_byte": list(_DRAM_PJ_PER_BYTE),
        "e_mac_j": mac_j,
        "e_mem_j": dram_j,
        "fits_8192_kib": fits,
        "e_total_j": [mac_j, mac_j] if fits else [mac_j + joules for joules in dram_j],
        "note": "lower bound, not measured",
    }


def _price(pair: str) -> float | None:
    """The dearer operand's price; weights of other widths (int4) are widened to what the activations have."""
    act, weight = (_MAC_PJ.get(dtype) for dtype in pair.split("\u00d7"))
    return None if act is None else max(act, weight or 0.0)
