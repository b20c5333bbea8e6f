"""The wire of the registry."""
