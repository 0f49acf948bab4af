"""No URL or address of our own network is called, in whatever way it is written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.workers.integrations.address import Refused, check_addresses, check_url, inward

INWARD = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "2001:db8::1",
]

OUTWARD = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "2a00:1450::1"]


@pytest.mark.parametrize("address", INWARD)
def test_an_address_of_our_own_network_is_refused(address: str) -> None:
    assert inward(ipaddress.ip_address(address))
    with pytest.raises(Refused, match=r"refused unless allowed"):
        check_addresses("evil.example", ["93.184.216.34", address], allow_private=False)
    assert check_addresses("mine.example", [address], allow_private=True)


@pytest.mark.parametrize("address", OUTWARD)
def test_an_address_of_the_public_internet_is_not(address: str) -> None:
    assert inward(ipaddress.ip_address(address)) is None
    assert check_addresses("host", [address], allow_private=False) == [ipaddress.ip_address(address)]


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_ipv6_wraps_it(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    assert bool(inward(mapped)) == bool(inward(address))
    if inward(address):
        assert inward(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number))
        assert inward(ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_whatever_python_takes_for_not_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert inward(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "begins with http"),
        ("ftp://example.com/", "begins with ftp"),
        ("file:///etc/passwd", "begins with file"),
        ("example.com", "begins with nothing"),
        ("https://user:pw@example.com/", "user or password"),
        ("https:///path", "no host"),
        ("https://example.com:0/", "no host"),
        ("https://example.com:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://exa mple.com/", "printable ASCII"),
        ("https://example.com/\r\nX: y", "printable ASCII"),
        ("https://example.com/é", "printable ASCII"),
        ("https://example.com/" + "a" * 2000, "at most 2000"),
    ],
)
def test_a_url_that_may_not_be_called_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        check_url(url, allow_private=False)


def test_plain_http_goes_with_leave_to_call_our_own_network() -> None:
    assert check_url("http://localhost:8080/hook", allow_private=True).port == 8080
    assert check_url("https://example.com/hook?x=1", allow_private=False).hostname == "example.com"
