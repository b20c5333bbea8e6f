"""Bytes on the wire, and forecasts of them."""
