"""The ruler: latency, memory, energy, accuracy and static cost of one ONNX model, the same code on a device and in CI.

Parent side, light enough for an idle daemon (neither numpy nor a runtime is imported):
`runner.run_benchmark`, `checks.check_samples`, `checks.load_check`, `accuracy.predict`, `paired`, `configurations`, `schema`.
Child side, one short-lived process per question: `child` and what it imports.
Server side: `static_cost` (needs `onnx`), `schema.validate` (needs `jsonschema`) and `histogram` (adds latencies of devices up).
"""
