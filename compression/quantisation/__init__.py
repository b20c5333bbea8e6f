"""Fewer bits a weight: quantisers from ONNX file to ONNX file. What each costs in accuracy is measured on the file that it writes.

`aware` and `delta_aware` train, need torch, and are not imported here.
"""

from compression.quantisation.dynamic import quantise_dynamic
from compression.quantisation.half import to_half
from compression.quantisation.int4 import to_int4
from compression.quantisation.static import METHODS, prepare, quantise_int8, quantise_prepared, quantise_static

__all__ = [
    "METHODS",
    "prepare",
    "quantise_dynamic",
    "quantise_int8",
    "quantise_prepared",
    "quantise_static",
    "to_half",
    "to_int4",
]
