"""Benchmark reports from devices."""
