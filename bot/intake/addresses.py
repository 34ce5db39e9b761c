"""Decides which IP addresses a link may lead to: public ones only."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_REFUSED_V4: tuple[IPv4Network, ...] = tuple(
    IPv4Network(network)
    for network in (
        # IANA's IPv4 special-purpose registry (RFC 6890 and its updates), in its order.
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local; most clouds' metadata service
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # IETF assignments; 192.0.0.192 is a cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private use
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast; `is_global` holds for most of it
        "240.0.0.0/4",  # reserved, and broadcast
        # Azure's wire server: a public address that reaches the host of a virtual machine.
        "168.63.129.16/32",
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only part of IPv6 that IANA assigns to the public internet (RFC 4291, section 2.4)."""

_REFUSED_V6: tuple[IPv6Network, ...] = tuple(
    IPv6Network(network)
    for network in (
        # The entries of IANA's IPv6 special-purpose registry within 2000::/3.
        "2001::/23",  # IETF assignments, with Teredo's embedded IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: embeds an IPv4 address; deprecated by RFC 7526
        "3fff::/20",  # documentation
    )
)

_NAT64 = ip_network("64:ff9b::/96")
"""RFC 6052: name servers of IPv6-only networks return these addresses for IPv4 hosts."""


def is_public(host: str) -> bool:
    """Whether `host` is the text form of a public IP address.

    An IPv4 address embedded in an IPv6 address is checked as IPv4 where a host would connect to
    it (mapped, RFC 4291; NAT64's well-known prefix, RFC 6052). The other embeddings (compatible,
    6to4, Teredo, local NAT64) are always refused. A text that is not an address is not public.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return _is_public_v4(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public_v4(IPv4Address(address.packed[-4:]))
        return (
            address in _GLOBAL_UNICAST
            and address.is_global
            and not any(address in network for network in _REFUSED_V6)
        )
    return _is_public_v4(address)


def _is_public_v4(address: IPv4Address) -> bool:
    # `is_global` as well: a newer Python knows networks that were reserved later.
    return address.is_global and not any(address in network for network in _REFUSED_V4)
