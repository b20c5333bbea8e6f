"""Exploring a design space in MESCAL's four steps: benchmark and metrics, budgets, an inclusive space, one way to evaluate, in one TOML.

`spec` reads it, `points` evaluates one point, `storage` and `worker` share points out among processes and machines (Optuna), `document` reports.
Pure: `front`, `saturation`, `early`. Torch is imported when a net is built, Optuna when a study is opened.
"""
