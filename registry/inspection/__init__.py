"""Checks uploaded files in a limited child process."""
