"""The text that is given to a device: the token's secret for the server, and behind it what the device pins, which the server never sees again.

`sfe_<43 characters>:<model line>=<43 characters>:…`: a pin is the SHA-256 of the newest root file in base64url without padding (docs/wire.md).
"""

import base64
from collections.abc import Mapping


def enrollment_text(secret: str, roots: Mapping[str, str]) -> str:
    """The text; `roots` are digests in hex by model line."""
    return ":".join([secret, *(f"{model}={_base64url(sha256)}" for model, sha256 in sorted(roots.items()))])


def _base64url(sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
