"""The wire of studies."""
