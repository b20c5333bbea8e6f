"""The steps that a recipe can take, by the word that stands after `do`. A new step is a module here and a line in `STEPS`.

A step's module imports torch, ONNX and ONNX Runtime inside `apply` only, so that steps can be listed and recipes read without them.
"""

from compression.steps.channels import Compact, Structured
from compression.steps.deep import Fold, Prune, Share
from compression.steps.quantise import DynamicInt8, Fp16, Int4, StaticInt8
from compression.steps.quantised_training import DeltaAwareInt8, QatInt8
from compression.steps.retraining import Distil, Finetune
from compression.steps.step import Step, Workbench

__all__ = ["STEPS", "Step", "Workbench"]

STEPS: dict[str, type[Step]] = {
    "compact": Compact,
    "delta_aware_int8": DeltaAwareInt8,
    "distil": Distil,
    "dynamic_int8": DynamicInt8,
    "finetune": Finetune,
    "fold": Fold,
    "fp16": Fp16,
    "int4": Int4,
    "prune": Prune,
    "qat_int8": QatInt8,
    "share": Share,
    "static_int8": StaticInt8,
    "structured": Structured,
}
