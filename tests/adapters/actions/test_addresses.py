"""Which addresses an action may reach: public ones, and what it lists; in whatever form an address is written."""

from ipaddress import ip_network

import pytest

from functions.adapters.actions.addresses import is_allowed
from functions.adapters.actions.http import resolved

REFUSED = (
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"),  # noqa: S104 - an address to be refused
    *("10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192"),  # metadata services
    *("100.64.0.1", "100.127.255.255"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1", "::8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"),
    *("2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:808:808::1", "2001:10::1"),
    *("2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1"),
)
ALLOWED = (
    *("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
    *("192.167.255.255", "223.255.255.255", "168.63.129.17", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888"),
    *("::ffff:8.8.8.8", "64:ff9b::808:808"),
)


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address, ())


@pytest.mark.parametrize("address", ALLOWED)
def test_what_is_public_is_allowed(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize(
    ("address", "listed", "allowed"),
    [
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.6", "10.0.0.5", False),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("64:ff9b::a01:203", "10.1.0.0/16", True),
        ("fd00::5", "fd00::/8", True),
        ("fe80::1%eth0", "fe80::/10", True),
        ("::1", "127.0.0.1", False),
        ("169.254.169.254", "10.0.0.0/8", False),
    ],
)
def test_what_is_listed_is_allowed_and_no_more(address: str, listed: str, *, allowed: bool) -> None:
    assert is_allowed(address, (ip_network(listed),)) is allowed


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "017700000001", "127.1", "0177.0.0.1", "0x7f.1", "0"])
def test_an_address_in_another_notation_is_judged_by_what_it_is(host: str) -> None:
    """The C library reads these as addresses; where it does not, there is none to connect to."""
    try:
        found = resolved(host, 80)
    except OSError:
        return
    assert found
    assert not any(is_allowed(address, ()) for address in found)
