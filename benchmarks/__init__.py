"""The ruler: latency, memory, energy, accuracy and static cost of one ONNX model."""
