"""Which addresses and URLs a subscriber may have us call: none that leads into our own network. Pure.

A subscriber's URL is the wish of a stranger, sent from inside (server-side request forgery): it must not reach what
only we can reach. So every address that a name resolves to is judged, and the connection is made to a judged address
itself.
"""

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

EMBEDDING = (
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ipaddress.ip_network("64:ff9b:1::/48"), 0),  # local NAT64 (RFC 8215)
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4 (RFC 3056): the 32 bits behind the prefix
    (ipaddress.ip_network("::/96"), 0),  # IPv4-compatible (RFC 4291, section 2.5.5.1), long out of use
)
"""IPv6 networks whose addresses lead to an IPv4 address, and how many bits are behind it."""

NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by providers' NAT (RFC 6598)
        "168.63.129.16/32",  # the metadata server of Azure
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "fd00:ec2::254/128",  # the metadata server of AWS
        "fec0::/10",
        "2001::/23",  # Teredo among others (RFC 4380)
    )
)
"""Beyond what `ipaddress` takes for private, link-local (169.254.169.254 among it), loopback, reserved or multicast."""

LONGEST = 2_000
"""Characters of a URL."""


class Refused(ValueError):
    """This URL or address may not be called; the text says why."""


def check_url(url: str, *, allow_private: bool) -> SplitResult:
    """Judge a URL before anything is resolved.

    Args:
        url: the subscriber's.
        allow_private: whether it may lead into our own network; then it may be plain http too.

    Raises:
        Refused: it may not be called.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"the URL cannot be read: {error}") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes:
        raise Refused(f"the URL begins with {parts.scheme or 'nothing'}; allowed: {' or '.join(schemes)}")
    if parts.username is not None or parts.password is not None:
        raise Refused("the URL has a user or password in it; deliveries are signed instead")
    if (
        not parts.hostname
        or port == 0
        or len(url) > LONGEST
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise Refused(f"the URL has no host, or is not printable ASCII of at most {LONGEST} characters")
    return parts


def check_addresses(host: str, addresses: Sequence[str], *, allow_private: bool) -> list[Address]:
    """Judge all addresses that a host resolves to; one bad address refuses the host.

    Args:
        host: for the error.
        addresses: as the resolver gave them.
        allow_private: whether any will do.

    Raises:
        Refused: there is none, or one leads into our own network.
    """
    found = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    if not found:
        raise Refused(f"{host} has no address")
    for address in found:
        if not allow_private and (why := inward(address)):
            raise Refused(f"{host} resolves to {address}, which is {why}; such endpoints are refused unless allowed")
    return found


def inward(address: Address) -> str | None:
    """Say why an address is not one of the public internet; None when it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return inward(address.ipv4_mapped)
        for network, behind in EMBEDDING:
            if address in network and (why := inward(ipaddress.IPv4Address(int(address) >> behind & 0xFFFFFFFF))):
                return why
    kinds = {
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "unspecified": address.is_unspecified,
        "private": address.is_private,
        "reserved": address.is_reserved and address not in EMBEDDING[0][0],
        "not public": any(address in network for network in NEVER if network.version == address.version),
    }
    return next((kind for kind, holds in kinds.items() if holds), None)
