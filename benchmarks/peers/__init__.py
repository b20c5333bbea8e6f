"""Measures the codec against other ways of sending a model file: `python -m benchmarks.peers`. Nothing imports it."""
