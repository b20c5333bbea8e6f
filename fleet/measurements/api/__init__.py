"""The wire of measurements."""
