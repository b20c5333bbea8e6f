"""Pins: the digest of the first root that a device believes, by model line, and the text that brings them along with a token.

The server knows `sfe_<43 characters>`, the secret. What is typed into a device has the pins behind it, so that whoever
stands between the two cannot choose the root: `sfe_<secret>:digits=<43 characters>:kws=<43 characters>`. A pin is the
sha256 of a root file, here in base64url without padding (RFC 4648, section 5), everywhere else in lower-case hex.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.config import MODEL_NAME
from agent.errors import PinInvalid
from agent.wire import SHA256

SECRET = re.compile(r"sfe_[A-Za-z0-9_-]{43}")
ENCODED_LENGTH = 43


@dataclass(frozen=True, slots=True)
class EnrollmentText:
    """A token as a device is given it: the secret for the server, and by line the hex digest of a root file."""

    secret: str = field(repr=False)
    pins: Mapping[str, str]


def split(text: str) -> EnrollmentText:
    """Take the text of a token apart. Without pins it is the secret alone.

    Raises:
        PinInvalid: it is no such text; the message does not show the secret.
    """
    secret, *encoded = text.strip().split(":")
    if not SECRET.fullmatch(secret):
        raise PinInvalid("an enrollment token begins with sfe_ and 43 characters of base64url")
    pins: dict[str, str] = {}
    for one in encoded:
        model, _, pin = one.partition("=")
        if not MODEL_NAME.fullmatch(model) or model in pins:
            raise PinInvalid(f"pin {len(pins) + 1} of the token must name a model line, each once: {model[:80]!r}")
        pins[model] = to_hex(pin)
    return EnrollmentText(secret, MappingProxyType(pins))


def compose(secret: str, pins: Mapping[str, str]) -> str:
    """The text that a device is given: `secret`, and `pins` in hex by model line.

    Raises:
        PinInvalid: a part of it could not be read back.
    """
    text = ":".join([secret, *(f"{model}={from_hex(pin)}" for model, pin in sorted(pins.items()))])
    split(text)
    return text


def parse(text: str) -> str:
    """A pin as people give it, in hex or base64url; in hex.

    Raises:
        PinInvalid: it is neither.
    """
    text = text.strip()
    return text if SHA256.fullmatch(text) else to_hex(text)


def to_hex(encoded: str) -> str:
    """Narrow base64url of 32 bytes to lower-case hex.

    Raises:
        PinInvalid: it is no digest, or not written in the one way there is.
    """
    try:
        digest = base64.b64decode(f"{encoded}=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(encoded) != ENCODED_LENGTH or _encoded(digest) != encoded:
        raise PinInvalid(f"a pin is a sha256 in 43 characters of base64url, or in hex, is {encoded[:80]!r}")
    return digest.hex()


def from_hex(sha256: str) -> str:
    """The same digest in base64url.

    Raises:
        PinInvalid: it is no lower-case hex sha256.
    """
    if not SHA256.fullmatch(sha256):
        raise PinInvalid(f"a pin is a sha256 of 64 lower-case hex digits, is {sha256[:80]!r}")
    return _encoded(bytes.fromhex(sha256))


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
