"""Which addresses of the net may be asked for a file that a stranger has named. Pure rules; who fetches keeps them."""

import re
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
_SHARED = IPv4Network("100.64.0.0/10")
_THIS = IPv4Network("0.0.0.0/8")
_METADATA = frozenset(map(ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
"""Where clouds tell their machines' secrets."""
_NUMERIC = re.compile(r"(?:0[xX][0-9a-fA-F]*|\d+)(?:\.(?:0[xX][0-9a-fA-F]*|\d+)){0,3}\.?")


class Rules(NamedTuple):
    """`allowed` and `denied` hold names (`*.example.com` too) and networks. Nothing allowed by name: all names are.

    `is_private_open`: whether networks that are not public may be asked. What only reaches the own link never is.
    """

    allowed: Sequence[str | Network] = ()
    denied: Sequence[str | Network] = ()
    is_private_open: bool = False


def rules_of(allowed: Sequence[str], denied: Sequence[str], *, is_private_open: bool) -> Rules:
    return Rules(tuple(map(_entry, allowed)), tuple(map(_entry, denied)), is_private_open)


def _entry(text: str) -> str | Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return text.lower().rstrip(".")


def literal(host: str) -> Address | None:
    """The address that `host` is, in any of the notations that systems take: decimal, octal, shortened."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        pass
    if not _NUMERIC.fullmatch(bare):
        return None
    try:
        return IPv4Address(socket.inet_aton(bare.rstrip(".")))
    except OSError:
        return None


def may_ask(rules: Rules, host: str, addresses: Sequence[Address]) -> bool:
    """Whether all of the addresses that a host's name means may be connected to."""
    name = host.lower().rstrip(".")
    if not addresses or any(_matches(entry, name, address) for entry in rules.denied for address in addresses):
        return False
    if rules.allowed and not all(
        any(_matches(entry, name, address) for entry in rules.allowed) for address in addresses
    ):
        return False
    return all(_is_open(rules, part) for address in addresses for part in _judged(address))


def _matches(entry: str | Network, name: str, address: Address) -> bool:
    if not isinstance(entry, str):
        return any(part in entry for part in _all_in(address))
    return name.endswith(entry[1:]) if entry.startswith("*.") else name == entry


def _is_open(rules: Rules, address: Address) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address in _METADATA or address in _THIS:
        return False
    return address.is_global or (rules.is_private_open and (address.is_private or address in _SHARED))


def _judged(address: Address) -> Iterator[Address]:
    """An address that only stands for an IPv4 address is judged as that one, any other also by itself."""
    if not (isinstance(address, IPv6Address) and _only_stands_for_another(address)):
        yield address
    if isinstance(address, IPv6Address):
        yield from _embedded(address)


def _only_stands_for_another(address: IPv6Address) -> bool:
    is_compatible = address in _COMPATIBLE and int(address) > 1
    return is_compatible or address.ipv4_mapped is not None or any(address in network for network in _NAT64)


def _all_in(address: Address) -> Iterator[Address]:
    """The address, and every IPv4 address that a packet to it may end up at."""
    yield address
    if isinstance(address, IPv6Address):
        yield from _embedded(address)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    elif (address in _COMPATIBLE and int(address) > 1) or any(address in network for network in _NAT64):
        yield low
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield low
