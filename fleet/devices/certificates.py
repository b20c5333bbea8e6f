"""The client certificate that a TLS proxy in front of this server has verified and names in a header.

Off unless `SMALLFLEET_CLIENT_CERTIFICATE_HEADER` names the header, and believed from the proxies of `SMALLFLEET_TRUSTED_PROXIES` alone: anybody else
may write any header. The proxy verifies the chain and that the client has the key; here only the certificate's SHA-256 counts (of its DER form).
"""

import base64
import hashlib
import re
import ssl
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from access.addresses import comes_from_trusted_proxy
from access.errors import InvalidInput

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{64}")
# A certificate of a device is 1 to 2 kB.
_MAX_HEADER_LENGTH = 16_384


def is_configured() -> bool:
    """Whether certificates count at all."""
    return bool(settings.SMALLFLEET_CLIENT_CERTIFICATE_HEADER)


def certificate_named_in(request: Request | HttpRequest) -> str | None:
    """The fingerprint of the client's certificate as a trusted proxy names it; None where there is none.

    Raises:
        InvalidInput: a trusted proxy sends what is none of the three forms.
    """
    name = settings.SMALLFLEET_CLIENT_CERTIFICATE_HEADER
    text = request.headers.get(name, "").strip() if name else ""
    if not text or not comes_from_trusted_proxy(request):
        return None
    return fingerprint(text)


def fingerprint(text: str) -> str:
    """The SHA-256 of the certificate in a header's value, in lower-case hex.

    Three forms are read: the certificate as a byte sequence `:base64 of DER:` (RFC 9440, Client-Cert), as PEM with percent escapes (nginx's
    `$ssl_client_escaped_cert`), and its fingerprint in hex (HAProxy's `ssl_c_der,sha2(256),hex`).

    Raises:
        InvalidInput: it is none of them.
    """
    if _FINGERPRINT.fullmatch(text):
        return text.lower()
    try:
        der = _der(text[:_MAX_HEADER_LENGTH])
    except ValueError as error:
        raise InvalidInput("the proxy's header holds no client certificate in a form that is read here") from error
    return hashlib.sha256(der).hexdigest()


def _der(text: str) -> bytes:
    if text.startswith(":") and text.endswith(":"):
        return base64.b64decode(text[1:-1], validate=True)
    return ssl.PEM_cert_to_DER_cert(unquote(text))
