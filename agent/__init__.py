"""The daemon on a device: poll, decide, download, apply, install, report."""

# The version of the whole distribution: the build reads it here. The daemon does too, since importlib.metadata is a
# mebibyte of resident memory.
__version__ = "0.1.0"
