"""Which hosts may be asked for a file: every notation of an inner address is known."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from antiphon.media.addresses import literal, may_ask, rules_of

PUBLIC = rules_of([], [], is_private_open=False)
OPEN = rules_of([], [], is_private_open=True)

INNER = [
    "127.0.0.1",
    "127.255.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "100.100.100.200",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
    "2001:4860:4860:0:0:5efe:10.0.0.1",
    "2001:4860:4860:0:200:5efe:127.0.0.1",
]
OUTER = ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_not_asked_in_whatever_it_is_wrapped(address: str):
    assert not may_ask(PUBLIC, "name.example", [ip_address(address)])


@pytest.mark.parametrize("address", OUTER)
def test_a_public_address_is_asked(address: str):
    assert may_ask(PUBLIC, "name.example", [ip_address(address)])


def test_one_inner_address_among_many_is_one_too_many():
    assert not may_ask(PUBLIC, "name.example", [*map(ip_address, OUTER), ip_address("10.0.0.1")])


def test_a_name_without_addresses_is_not_asked():
    assert not may_ask(OPEN, "name.example", [])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("127.0.0.1.", "127.0.0.1"),
        ("::1", "::1"),
        ("[::ffff:10.0.0.1]", "::ffff:10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_number_is_an_address_in_any_notation(host: str, address: str):
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "1.2.3.4.example.com", "256.1.1.1", "0x", "1.2.3.4.5", "a1"])
def test_a_name_is_no_address(host: str):
    assert literal(host) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "100.64.0.1", "::1", "fc00::1", "8.8.8.8"])
def test_private_networks_can_be_opened(address: str):
    assert may_ask(OPEN, "name.example", [ip_address(address)])


SECRET = ["169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254"]


@pytest.mark.parametrize("address", [*SECRET, "224.0.0.1", "0.0.0.0", "::"])
def test_what_tells_a_machines_secrets_stays_shut(address: str):
    assert not may_ask(OPEN, "name.example", [ip_address(address)])


def test_lists_of_names_and_networks():
    rules = rules_of(["*.example.com", "8.8.0.0/16"], ["bad.example.com", "8.8.4.0/24"], is_private_open=False)
    one = [ip_address("1.1.1.1")]
    assert may_ask(rules, "a.example.com", one)
    assert may_ask(rules, "A.EXAMPLE.COM.", one)
    assert not may_ask(rules, "example.com.evil.org", one)
    assert not may_ask(rules, "bad.example.com", one)
    assert not may_ask(rules, "other.org", one)
    assert may_ask(rules, "other.org", [ip_address("8.8.8.8")])
    assert not may_ask(rules, "a.example.com", [ip_address("8.8.4.4")])
    assert not may_ask(rules, "a.example.com", [ip_address("::ffff:8.8.4.4")])
    assert not may_ask(rules, "a.example.com", [ip_address("10.0.0.1")])
