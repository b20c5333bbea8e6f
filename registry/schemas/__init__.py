"""JSON Schemas of files that the registry takes, as package data."""
