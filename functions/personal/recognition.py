"""Finds personal data in a text: e-mail addresses, phone numbers, payment cards, IBANs, IP addresses, national ids.

Every pattern is bounded, so that the time a text takes grows as its length does. Where two overlap, the more specific
one counts, then the earlier one, then the longer one. What is nobody's stays: loopback and unspecified addresses,
netmasks, networks. The addresses and numbers that are kept for documentation are found like any other.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

import phonenumbers
from stdnum import iban, luhn

from functions.personal.national import BEGIN, END, SCHEMES, Scheme
from functions.personal.reading import Reading, reading_of
from functions.ports.personal import TOKEN

Kind = Literal["EMAIL", "PHONE", "CARD", "IBAN", "IP", "ID"]

BEFORE, AFTER = 40, 20  # how near a word must be that says what a number is

#: Letters and digits of scripts that put spaces between words: in the others, an address begins after any character.
_LETTER = r"[^\W\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff]"


class Found(NamedTuple):
    """Personal data in a text: where it is, and its value in the one form that equal ones share."""

    kind: Kind
    start: int
    end: int
    value: str


def found(text: str, regions: Sequence[str]) -> list[Found]:
    """The personal data of a text, from its beginning to its end; none of it overlaps.

    Args:
        text: Any; what is in it as a token already is passed over.
        regions: The countries, by their two letters, whose phone numbers are known without `+`, the likeliest first.
    """
    reading = reading_of(text)
    view = reading.view
    taken = bytearray(len(view))
    for token in TOKEN.finditer(view):
        taken[token.start() : token.end()] = b"\1" * (token.end() - token.start())
    chosen = []
    for find in _finders(regions):
        for each in sorted(find(view), key=lambda each: (each.start, -each.end)):
            if not any(taken[each.start : each.end]):
                taken[each.start : each.end] = b"\1" * (each.end - each.start)
                chosen.append(_in_text(each, reading))
    return sorted(chosen, key=lambda each: each.start)


def _finders(regions: Sequence[str]) -> tuple[Callable[[str], Iterator[Found]], ...]:
    """The most specific first."""
    return (
        *(_emails, _emails_of_any_script, _ibans, _ids, _ids_beside_words, _cards, _addresses),
        lambda view: _phones(view, regions),
    )


def _in_text(each: Found, reading: Reading) -> Found:
    start, end = reading.span(each.start, each.end)
    return each._replace(start=start, end=end)


# E-mail addresses


def _email(letter: str) -> re.Pattern[str]:
    plain = rf"(?<!{letter}){letter}(?:[.!#$%'*+^`~-]?{letter}){{0,63}}+"
    domain = rf"(?:{letter}(?:-{{0,2}}{letter}){{0,62}}+\.){{1,8}}"
    top = rf"(?:xn--[a-z0-9-]{{1,59}}|(?:(?![\d_]){letter}){{2,24}})"
    return re.compile(rf'(?:{plain}|"[^"\s@]{{1,64}}")@{domain}{top}(?!{letter}|\()', re.IGNORECASE)


_EMAIL = _email(_LETTER)
_EMAIL_OF_ANY_SCRIPT = _email(r"\w")
# `icon@2x.png` is a file, `a@b.shape` is code, and what ends so is no domain that there is.
_NO_DOMAIN = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|ico|css|js|ts|html?|py|json|shape|dtype|real|imag|transpose)\Z", re.IGNORECASE
)


def _emails(view: str) -> Iterator[Found]:
    return _emails_like(_EMAIL, view)


def _emails_of_any_script(view: str) -> Iterator[Found]:
    return _emails_like(_EMAIL_OF_ANY_SCRIPT, view)


def _emails_like(pattern: re.Pattern[str], view: str) -> Iterator[Found]:
    if "@" not in view:
        return
    for match in pattern.finditer(view):
        name, _, domain = match[0].rpartition("@")
        if not _NO_DOMAIN.search(domain) and not _is_login(view, match.start()):
            yield Found("EMAIL", match.start(), match.end(), f"{name}@{domain.lower()}")


def _is_login(view: str, start: int) -> bool:
    """Whether it is the user and the host of a URL."""
    scheme = view.rfind("://", max(0, start - 130), start)
    return scheme >= 0 and not re.search(r"[\s/]", view[scheme + 3 : start])


# Bank accounts

_IBAN = re.compile(rf"{BEGIN}(?=([A-Z]{{2}}\d\d(?:[ -]?[A-Z0-9]){{11,30}}+))", re.IGNORECASE)


def _ibans(view: str) -> Iterator[Found]:
    for match in _IBAN.finditer(view):
        for end in _ends(view, match):
            value = _compact(view[match.start() : end]).upper()
            if _IBAN_LENGTHS[0] <= len(value) <= _IBAN_LENGTHS[1] and _is_iban(value):
                yield Found("IBAN", match.start(), end, value)
                break


_IBAN_LENGTHS = (15, 34)


def _is_iban(value: str) -> bool:
    """The check digits first: they are quick, and rule out nearly everything that is none."""
    remainder = int("".join(str(int(character, 36)) for character in value[4:] + value[:4])) % 97
    return remainder == 1 and bool(iban.is_valid(value, check_country=False))


# Payment cards: the numbers that each issuer begins with, and their lengths

_CARD = re.compile(rf"{BEGIN}(?=(\d{{3,19}}(?:[ -]\d{{3,6}}){{0,5}}(?:[ -]\d{{1,3}}(?!\d))?))")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-59]|[689]\d)\d{11}(?:\d{2}){0,2}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d|81\d\d)\d{12,15}"
    r"|220[0-4]\d{12,15}"
    r"|(?:5018|5020|5038|5893|6304|6703|6759|676[1-3])\d{8,15}"
)


def _cards(view: str) -> Iterator[Found]:
    for match in _CARD.finditer(view):
        for end in _ends(view, match):
            value = _compact(view[match.start() : end])
            if _ISSUERS.fullmatch(value) and luhn.is_valid(value) and re.match(END, view[end : end + 5]):
                yield Found("CARD", match.start(), end, value)
                break


# National ids


def _ids(view: str) -> Iterator[Found]:
    for scheme in SCHEMES:
        if scheme.beside is None:
            yield from _ids_of(scheme, view)


def _ids_beside_words(view: str) -> Iterator[Found]:
    for scheme in SCHEMES:
        if scheme.beside is not None and scheme.beside.search(view):
            yield from _ids_of(scheme, view)


def _ids_of(scheme: Scheme, view: str) -> Iterator[Found]:
    for match in scheme.form.finditer(view):
        is_beside = scheme.beside is None or _near(scheme.beside, view, match.start(), match.end())
        if is_beside and scheme.is_valid(match[0]):
            yield Found("ID", match.start(), match.end(), _compact(match[0]))


# IP addresses

_V4 = re.compile(rf"{BEGIN}(?<!\.)(\d{{1,3}}(?:\.\d{{1,3}}){{3}})(/\d{{1,2}})?(?![A-Za-z0-9_]|[.-][A-Za-z0-9])")
_V6 = re.compile(r"(?<![A-Za-z0-9_.:])[0-9A-Fa-f:.]{4,46}+(?![A-Za-z0-9_])(%[A-Za-z0-9]{1,15})?(/\d{1,3})?")
_VERSION = re.compile(
    r"(?:versions?|releases?|ver\.?|v\.?|build|section|chapter|§|rev(?:ision)?)\W{0,3}\Z", re.IGNORECASE
)
_HOST = re.compile(
    r"(?<![^\W_])(?:ips?\b|ipv4|host|addr|ping|server|client|from|login|logged|connect|gateway|router|dns)",
    re.IGNORECASE,
)
_LEAST_OCTET = 10  # with all parts below, it may be a version or a section
_MOST_RESOLVERS = frozenset(map(ip_address, ("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9")))
_LONG_GROUP = 3


def _addresses(view: str) -> Iterator[Found]:
    for match in _V4.finditer(view):
        if (address := _address(match[1])) is None or _is_nobodys(address) or _is_network(address, match[2]):
            continue
        if not _looks_like_a_version(view, match):
            yield Found("IP", match.start(1), match.end(1), str(address))
    if ":" not in view:
        return
    for match in _V6.finditer(view):
        written = match[0][: len(match[0]) - len(match[1] or "") - len(match[2] or "")]
        written = written if written.endswith("::") else written.rstrip(":.")
        address = _address(written.rstrip("."))
        if address is None or _is_nobodys(address) or _is_network(address, match[2]) or not _is_wordless(written):
            continue
        yield Found("IP", match.start(), match.start() + len(written.rstrip(".")), str(_plain(address)))


def _address(written: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(written)
    except ValueError:
        return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_nobodys(given: IPv4Address | IPv6Address) -> bool:
    address = _plain(given)
    if address in _MOST_RESOLVERS or address.is_loopback or address.is_unspecified or address.is_multicast:
        return True
    if not isinstance(address, IPv4Address):
        return False
    mask = int(address) ^ 0xFFFFFFFF
    return int(address) >> 24 in (0, 255) or not mask & (mask + 1)  # `this` network, broadcast, a netmask


def _is_network(address: IPv4Address | IPv6Address, prefix: str | None) -> bool:
    """Whether it is a range of addresses: it says how many bits count, and the others are 0."""
    hosts = address.max_prefixlen - int(prefix[1:]) if prefix else 0
    return hosts > 0 and not int(address) & ((1 << hosts) - 1)


def _looks_like_a_version(view: str, match: re.Match[str]) -> bool:
    if _VERSION.search(view, max(0, match.start() - 12), match.start()):
        return True
    is_small = all(int(part) < _LEAST_OCTET for part in match[1].split("."))
    return is_small and not _near(_HOST, view, match.start(), match.end())


def _is_wordless(written: str) -> bool:
    """Whether it is no `a::b` of code, no slice and no list of bytes."""
    groups = [group for group in written.split(":") if group]
    has_digit = any(character.isdigit() for character in written)
    return len(groups) > 1 and has_digit and max(map(len, groups)) >= _LONG_GROUP


# Phone numbers

_PHONE = re.compile(r"(?<![A-Za-z0-9_+])(?<!\d[.:/-])(?<![0-9a-f]-)(?=((?:\+ ?)?\(?\d(?:[ ().\-/]{0,3}\d){6,16}+))")
# Written as phone numbers are: with an area code in parentheses, in threes and fours, or from 0 on in groups.
_WRITTEN_AS_PHONE = re.compile(
    r"\(\d{2,5}\)[ -]?\d[\d -]{4,}\d"
    r"|(?:1[-. ])?\d{3}[-.]\d{3}[-.]\d{4}"
    r"|0\d(?:\.\d\d){4}"
    r"|0\d{1,4}[ /-]\d[\d /-]{4,}\d"
)
# Not of phones: a date, and the groups of an ISBN.
_OTHERS = re.compile(r"\d{4}([-./])\d{1,2}\1\d{1,2}(?!\d)|\d{1,2}([-./])\d{1,2}\2\d{4}(?!\d)|[\d-]+-[\dX]\Z")
_CALL = re.compile(
    r"(?<![^\W_])(?:tel\b|t[eé]l[eéè]f|telephone|tél|phone|call|mobil|cell|fax|whatsapp|sms\b|dial|ring|handy|rufn|anruf"
    r"|portable|appel|m[oó]vil|llam|chiam|bel\b|bellen|zadzwo|kom\.|ligue|liga\b)|電話|电话|手机|전화",
    re.IGNORECASE,
)
_LEAST_DIGITS = 8


def _phones(view: str, regions: Sequence[str]) -> Iterator[Found]:
    for match in _PHONE.finditer(view):
        written = [view[match.start() : end] for end in _ends(view, match) if re.match(END, view[end : end + 5])]
        for number, value in _read(written, match, regions):
            yield Found("PHONE", match.start(), match.start() + len(number), value)
            break


def _read(written: Sequence[str], match: re.Match[str], regions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Of what may be a number, what is one, with its form E.164, the likeliest first."""
    if match[1].startswith("+"):
        yield from ((each, value) for each in written if (value := _international(each)))
    elif match[1].startswith("00"):
        yield from ((each, value) for each in written if (value := _international(f"+{each[2:]}")))
    else:
        yield from _national(written, regions, is_called=_near(_CALL, match.string, match.start(), match.end(1)))


def _national(written: Sequence[str], regions: Sequence[str], *, is_called: bool) -> Iterator[tuple[str, str]]:
    """A number ends where the likeliest country's do: in others it may go on with the digits behind it."""
    likely = [each for each in written if is_called or _WRITTEN_AS_PHONE.fullmatch(each.replace("- ", "-"))]
    wanted = [each for each in likely if not _OTHERS.match(each)]
    numbers = [(each, number) for region in regions for each in wanted if (number := _parsed(each, region))]
    for each, number in numbers:
        if phonenumbers.is_valid_number(number):
            yield each, _e164(number)
    for each, number in numbers:
        if is_called and phonenumbers.is_possible_number(number):
            yield each, _e164(number)


def _international(written: str) -> str:
    number = _parsed(written, None)
    return _e164(number) if number and phonenumbers.is_possible_number(number) else ""


def _parsed(written: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    if sum(map(str.isdigit, written)) < _LEAST_DIGITS:
        return None
    try:
        return phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


# What several share


def _ends(view: str, match: re.Match[str]) -> Iterator[int]:
    """Where a number may end that begins here: with all that looks like it, or before a space, if another follows."""
    start, end = match.span(1)
    yield end
    spaces = [place for place in range(start + 1, end) if view[place] == " "]
    for place in reversed(spaces):
        if view[place - 1].isalnum():
            yield place


def _compact(written: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", written)


def _near(words: re.Pattern[str], view: str, start: int, end: int) -> bool:
    before, after = max(0, start - BEFORE), min(len(view), end + AFTER)
    return words.search(view, before, start) is not None or words.search(view, end, after) is not None
