"""Origins, as browsers write them in the header Origin (https://url.spec.whatwg.org/#host-parsing)."""

import re
import socket
from ipaddress import AddressValueError, IPv6Address

import httpx2

_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535


def as_browsers_send(origin: str) -> str | None:
    """Return how a browser writes the origin of this URL. None if it is no http:// or https:// URL of a host."""
    try:
        url = httpx2.URL(origin)
    except httpx2.InvalidURL:
        return None
    host = _host(url.raw_host.decode("ascii"))
    if url.scheme not in _PORTS or not host or (url.port or 0) > _MAX_PORT:
        return None
    port = "" if url.port in (None, _PORTS[url.scheme]) else f":{url.port}"
    return f"{url.scheme}://{host}{port}"


def _host(host: str) -> str | None:
    """Return a host that is in ASCII already as browsers write it. None if it is no host."""
    try:
        if ":" in host:
            return f"[{IPv6Address(host).compressed}]"
        if re.search(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$", host):  # a number at its end: an IPv4 address in any form
            return socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
    except (AddressValueError, OSError):
        return None
    return host if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", host) else None
