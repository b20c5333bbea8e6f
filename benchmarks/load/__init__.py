"""Measures this project itself under load and at rest. May import and run anything; nothing imports it."""
