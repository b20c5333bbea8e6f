"""Patches between artifacts: which are wanted, building them, and the ways to a target."""
