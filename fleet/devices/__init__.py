"""Devices: enrollment, polls, groups, link classes."""
