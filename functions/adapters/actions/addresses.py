"""Which addresses may be connected to: public ones, and those that an action lists.

From IANA's registries of special-purpose IPv4 and IPv6 addresses. The lists are here, and not Python's `is_global`,
since that one differs between versions.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a public address, behind which each machine on Azure finds its host
            *("::/3", "4000::/2", "8000::/1"),  # all but 2000::/3, which is what is given out
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # 2002::/16 is 6to4, 2001::/32 Teredo
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_allowed(address: str, listed: Iterable[Network]) -> bool:
    """Whether an address may be connected to: it is public, or in a network that is listed although it is not."""
    given = ip_address(address.partition("%")[0])  # without the zone of a link-local one
    meant = _meant(given)
    if not any(meant in network for network in NOT_PUBLIC):
        return True
    return any(each in network for network in listed for each in (given, meant))


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where packets end there."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
