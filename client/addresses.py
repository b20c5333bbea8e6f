"""What an address of a server says about the way there."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(server: str) -> bool:
    """Whether a server's address can only be this machine."""
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
