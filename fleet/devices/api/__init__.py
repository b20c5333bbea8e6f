"""The wire of devices."""
