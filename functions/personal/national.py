"""National ids: how each is written, whose check digits it has, and the words it needs beside it.

A form that numbers of other kinds have as well counts only near a word that says what it is; one with its own
separators or letters, and check digits, counts by itself. The check digits are those of python-stdnum.
"""

import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

#: Neither within a word nor within a longer number, a version or the groups of a UUID.
BEGIN: Final = r"(?<![A-Za-z0-9_])(?<!\d[.:/+-])(?<![0-9a-f]-)"
END: Final = r"(?![A-Za-z0-9_])(?![.:/]\d)(?!,\d{3}(?!\d))(?!-[A-Za-z0-9])"


class Scheme(msgspec.Struct, frozen=True):
    """One way to write one kind of id.

    Attributes:
        module: Of stdnum, that checks it; empty for a form that has no check digits.
        form: How it is written.
        beside: One of these words must be near; empty where the form says enough.
    """

    module: str
    form: re.Pattern[str]
    beside: re.Pattern[str] | None = None

    def is_valid(self, written: str) -> bool:
        """Whether its check digits, or what else is known of such numbers, are right."""
        is_one_digit = len(set(written) & set("0123456789")) == 1
        return not is_one_digit and (not self.module or _check(self.module)(written.replace(" ", "")))


def _of(module: str, form: str, beside: str = "") -> Scheme:
    near = re.compile(rf"(?<![^\W_])(?:{beside})", re.IGNORECASE) if beside else None
    return Scheme(module, re.compile(f"{BEGIN}(?:{form}){END}"), near)


@cache
def _check(module: str) -> Callable[[str], bool]:
    check: Callable[[str], bool] = importlib.import_module(f"stdnum.{module}").is_valid
    return check


_NINO = r"(?:QQ|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z])"
_TAX = r"steuer|idnr|id-nr|tax id|tin\b"

SCHEMES: Final = (
    # By themselves.
    _of("us.ssn", r"\d{3}-\d{2}-\d{4}"),
    _of("", rf"{_NINO} \d\d ?\d\d ?\d\d ?[A-D]"),
    _of("fr.nir", r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"),
    _of("es.dni", r"\d{8}[- ]?[A-Z]"),
    _of("es.nie", r"[XYZ][- ]?\d{7}[- ]?[A-Z]"),
    _of("it.codicefiscale", r"[A-Z]{3} ?[A-Z]{3} ?\d\d[A-EHLMPRST]\d\d ?[A-Z]\d{3}[A-Z]"),
    _of("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d"),
    _of("ch.ssn", r"756\.?\d{4}\.?\d{4}\.?\d\d"),
    _of("fi.hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]"),
    _of("be.nn", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"),
    _of("cn.ric", r"\d{17}[\dX]"),
    _of("kr.rrn", r"\d{6}-\d{7}"),
    _of("mx.curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d"),
    # Beside a word.
    _of("us.ssn", r"\d{9}|\d{3} \d\d \d{4}", r"ssn|social security"),
    _of("", rf"{_NINO}\d{{6}}[A-D]", r"ni\b|nino|national insurance"),
    _of("gb.nhs", r"\d{3}[- ]?\d{3}[- ]?\d{4}", r"nhs"),
    _of("de.idnr", r"\d\d ?\d{3} ?\d{3} ?\d{3}", _TAX),
    _of("nl.bsn", r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}|\d{3} \d{3} \d{3}", r"bsn|burgerservice|sofi"),
    _of("pl.pesel", r"\d{11}", r"pesel"),
    _of("br.cpf", r"\d{11}", r"cpf"),
    _of("in_.aadhaar", r"\d{4}[- ]?\d{4}[- ]?\d{4}", r"aadhaa?r|uidai|आधार"),
    _of("se.personnummer", r"(?:\d\d)?\d{6}[-+]?\d{4}", r"personnummer|personnr|pnr|personal identity"),
    _of("dk.cpr", r"\d{6}[- ]?\d{4}", r"cpr"),
    _of("no.fodselsnummer", r"\d{6} ?\d{5}", r"f[øo]dselsn|personnummer|fnr"),
    _of("be.nn", r"\d{11}", r"rijksregister|registre national|nrn"),
    _of("pt.nif", r"\d{9}|\d{3} \d{3} \d{3}", r"nif|contribuinte"),
    _of("ca.sin", r"\d{3}[- ]?\d{3}[- ]?\d{3}", r"sin\b|social insurance"),
    _of("au.tfn", r"\d{3} ?\d{3} ?\d{3}", r"tfn|tax file"),
    _of("za.idnr", r"\d{6} ?\d{4} ?\d\d ?\d", r"(?:sa |rsa |south african )?id\b|identity"),
    _of("tr.tckimlik", r"\d{11}", r"kimlik|tckn"),
    _of("ie.pps", r"\d{7}[A-W][A-IW]?", r"pps"),
    _of("at.vnr", r"\d{4} ?\d{6}", r"sozialvers|svnr|sv-n"),
    _of("cz.rc", r"\d{6}/?\d{3,4}", r"rodn[ée]"),
)
