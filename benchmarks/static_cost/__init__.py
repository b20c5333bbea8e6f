"""What one inference of an ONNX model costs by its graph alone. Server side and CI: needs `onnx`, never a runtime.

`count_static_cost` reads a file, `static_cost_of` takes a model that is already parsed and leaves it as it is.
Big tensor payloads are never copied: shapes are inferred on a skeleton without them (`skeleton`), multiply-accumulates
are counted by rules per operator (`macs`), and the peak of activations by liveness in graph order (`liveness`).
"""

from benchmarks.static_cost.cost import Port, StaticCost, count_static_cost, static_cost_of

__all__ = ["Port", "StaticCost", "count_static_cost", "static_cost_of"]
