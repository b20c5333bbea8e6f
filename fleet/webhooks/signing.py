"""How a receiver knows that a delivery is from this server, and new: docs/webhooks.md has the receiver's side.

A secret is derived from the server's key and a nonce, so that the database (and a backup of it) holds none. Another server key makes
other secrets.
"""

import base64
import hmac
from collections.abc import Iterable
from uuid import UUID

from django.utils.crypto import salted_hmac

PREFIX = "sfw_"


def secret_of(webhook_id: UUID, nonce: str) -> str:
    """The webhook's secret: `sfw_` and 43 base64url characters (256 bits)."""
    derived = salted_hmac("smallfleet.webhooks", f"{webhook_id}:{nonce}", algorithm="sha256").digest()
    return PREFIX + base64.urlsafe_b64encode(derived).decode().rstrip("=")


def signature_header(secrets: Iterable[str], timestamp_s: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`, with one `v1` for each secret: HMAC-SHA256 over `<seconds>.` and the body."""
    signed = str(timestamp_s).encode() + b"." + body
    values = [hmac.new(secret.encode(), signed, "sha256").hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp_s}", *(f"v1={value}" for value in values)])
