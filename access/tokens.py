"""Secrets that are shown once and stored hashed.

A secret is a prefix that says what it is (so that a leaked one is found by scanners) and 256 random bits. With that much entropy a plain SHA-256 is
a safe thing to store and can be looked up by an index; no slow password hash is needed.
"""

import hashlib
import secrets

PERSON_PREFIX = "sft_"
DEVICE_PREFIX = "sfd_"
ENROLLMENT_PREFIX = "sfe_"


def new_secret(prefix: str) -> str:
    """A fresh secret: `prefix` and 43 base64url characters (256 bits)."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The SHA-256 of `secret` in lower-case hex, as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
