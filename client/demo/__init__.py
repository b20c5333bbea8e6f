"""The demo: the whole flow on this machine, with models that we trained ourselves."""
