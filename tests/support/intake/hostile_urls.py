"""Links to addresses that are not public, in every spelling, and the public ones next to them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import cycle

# Listed here again, not imported: the IANA special-purpose registries, and cloud services on
# addresses that look public.
DENIED_V4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12
    192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24
    203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
"""
DENIED_V6 = """
    ::/128 ::1/128 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/32 2001:2::/48 2001:10::/28
    2001:20::/28 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fd00:ec2::254/128 fe80::/10
    fec0::/10 ff00::/8 1::/16 4000::/3
"""
V4 = [IPv4Network(text) for text in DENIED_V4.split()]
V6 = [IPv6Network(text) for text in DENIED_V6.split()]
# Cloud metadata services, the usual targets of server-side request forgery.
METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")


def in_digits(text: str, digits: str) -> str:
    return text.translate({ord("0") + index: digits[index] for index in range(10)})


def spellings(address: IPv4Address) -> Iterator[str]:
    """Hosts that some program reads as `address`."""
    number = int(address)
    a, b, c, d = address.packed
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    flipped = number ^ 0xFFFFFFFF
    yield str(address)
    yield f"{address}."
    yield f"[::ffff:{address}]"
    yield f"[::FFFF:{high}:{low}]"
    yield f"[0:0:0:0:0:ffff:{high}:{low}]"
    yield f"[::{address}]"
    yield f"[2002:{high}:{low}::1]"
    yield f"[64:ff9b::{address}]"
    yield f"[64:ff9b:1::{address}]"
    yield f"[2001:0:102:304::{flipped >> 16:x}:{flipped & 0xFFFF:x}]"
    yield f"0x{number:08x}"
    yield f"0X{a:x}.0x{b:x}.{c}.{d}"
    yield f"{a:#o}.{b:#o}.{c:#o}.{d:#o}".replace("0o", "0")
    yield f"0{number:o}"
    yield str(number)
    yield f"{a}.{number & 0xFFFFFF}"
    yield f"{a}.{b}.{number & 0xFFFF}"
    yield in_digits(str(address), "０１２３４５６７８９")
    yield in_digits(str(address), "⓪①②③④⑤⑥⑦⑧⑨")
    yield str(address).replace(".", "。")
    yield "".join(f"%{ord(letter):02x}" for letter in str(address))


def hostile_urls(samples: int = 1) -> list[str]:
    """Links to the first, the last and `samples` other addresses of each denied network.

    Every address appears in all `spellings`.
    """
    chance = random.Random(3)
    hosts: list[str] = []
    for four in V4:
        others = {four[chance.randrange(four.num_addresses)] for _ in range(samples)}
        for address in sorted({four[0], four[-1], *others}):
            hosts += spellings(address)
    for six in V6:
        wides = {six[chance.randrange(six.num_addresses)] for _ in range(samples)}
        for wide in sorted({six[0], six[-1], *wides}):
            hosts += [f"[{wide}]", f"[{wide.exploded.upper()}]"]
    hosts += [f"[{text}]" if ":" in text else text for text in METADATA]
    hosts += ["localhost", "LOCALHOST", "localhost.", "[fe80::1%25lo]", "[::1%25lo]"]
    schemes = cycle(("http://{}/", "https://{}/a.png", "http://{}:443/", "HTTP://{}:80?x#y"))
    return [next(schemes).format(host) for host in hosts]


def just_outside() -> list[str]:
    """The public addresses next to every denied range."""
    edges = [number for net in V4 for number in (int(net[0]) - 1, int(net[-1]) + 1)]
    four = [IPv4Address(number) for number in edges if 0 <= number < 2**32]
    found = {str(address) for address in four if not any(address in net for net in V4)}
    public, ietf = IPv6Network("2000::/3"), IPv6Network("2001::/23")
    edges = [
        number for net in [*V6, public, ietf] for number in (int(net[0]) - 1, int(net[-1]) + 1)
    ]
    six = [IPv6Address(number) for number in edges if 0 <= number < 2**128]
    found |= {
        str(address)
        for address in six
        if address in public and not any(address in net for net in [*V6, ietf])
    }
    return sorted(found)
