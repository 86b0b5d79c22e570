"""Words, numbers and times in the reader's language. The catalogues are ``locale/fr.py`` and ``locale/en.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from connector import periods
from connector.web.locale import en, fr

LANGUAGES = ("fr", "en")
NARROW = "\u202f"
FIXED = "\u00a0"

_MONTHS = {
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}
_SHORT = {
    "fr": ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juill.", "août", "sept.", "oct.", "nov.", "déc."],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
_DAYS = {
    "fr": ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
}
_SMALL = {
    "fr": ["zéro", "une", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    "en": ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
}

Entry = str | tuple[str, str]


def _typeset(text: str) -> str:
    """French spacing: no-break spaces where a line may not break, and the curly apostrophe."""
    text = re.sub(r" ([;!?%])", NARROW + r"\1", text)
    text = re.sub(r"(\{n(?:_[a-z]+)?\}) ", r"\1" + FIXED, text)
    text = text.replace(" :", FIXED + ":").replace("« ", "«" + FIXED).replace(" »", FIXED + "»")
    return text.replace("'", "’")


def _catalogue(words: Mapping[str, Entry], french: bool) -> dict[str, Entry]:
    if not french:
        return dict(words)
    return {k: _typeset(v) if isinstance(v, str) else (_typeset(v[0]), _typeset(v[1])) for k, v in words.items()}


CATALOGUES: dict[str, dict[str, Entry]] = {"fr": _catalogue(fr.WORDS, True), "en": _catalogue(en.WORDS, False)}


def choose_language(asked: str | None, kept: str | None, header: str | None, offered: Iterable[str] = LANGUAGES) -> str:
    """``?lang=``, then the cookie, then Accept-Language by its weights, then French."""
    offered = tuple(offered)
    for one in (asked, kept):
        if one in offered:
            return str(one)
    best, weight = "fr", 0.0
    for part in (header or "")[:400].split(","):
        tag, _, q = part.strip().partition(";q=")
        try:
            value = float(q) if q else 1.0
        except ValueError:
            continue
        language = tag.split("-")[0].lower()
        if language in offered and value > weight:
            best, weight = language, value
    return best


def parse_time(value: str | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


class Wording:
    """One reader's language at one instant. Call it with a key of the catalogue: ``w("overview.held", n=3)``.

    A pair in the catalogue is (one, other), chosen by ``n``; ``n`` itself is written as a number. Values are escaped,
    the catalogue's own markup is not.
    """

    def __init__(self, language: str, zone: str, now: datetime) -> None:
        self.language = language
        self.zone = ZoneInfo(zone)
        self.zone_name = zone
        self.now = now.astimezone(self.zone)
        self._words = CATALOGUES[language]

    def __call__(self, key: str, /, **values: Any) -> Markup:
        entry = self._words.get(key)
        if entry is None:  # a state or verdict that is newer than the catalogue is shown as it came
            return escape(key.rsplit(".", 1)[-1])
        if not isinstance(entry, str):
            entry = entry[0 if self.is_one(values.get("n", 0)) else 1]
        shown = {k: self.number(v) if isinstance(v, int | Decimal) else v for k, v in values.items()}
        return Markup(entry).format(**{k: escape(v) for k, v in shown.items()})

    def has(self, key: str) -> bool:
        return key in self._words

    def is_one(self, n: int | Decimal) -> bool:
        return -2 < n < 2 if self.language == "fr" else n == 1

    def text(self, texts: Mapping[str, str] | str | None) -> str:
        """One language of a pack's {fr, en}; the other where it is missing."""
        if texts is None:
            return ""
        if isinstance(texts, str):
            return texts
        if self.language == "fr" and texts.get("fr"):
            return _typeset(texts["fr"])
        return texts.get(self.language) or next(iter(texts.values()), "")

    # -- numbers

    def number(self, value: int | float | Decimal | str | None) -> str:
        if value is None:
            return "–"
        if isinstance(value, str):
            try:
                return self.number(Decimal(value))
            except ArithmeticError:
                return value
        text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if self.language == "fr":
            text = text.replace(",", NARROW).replace(".", ",")
        return text.replace("-", "−")

    def small(self, n: int) -> str:
        """Up to nine in words, to open a sentence."""
        return (_SMALL[self.language][n] if 0 <= n < 10 else self.number(n)).capitalize()

    def percent(self, part: int, whole: int) -> str:
        share = self.number(float(f"{100 * part / whole:.1f}")) if whole else "–"
        return f"{share}{NARROW}%" if self.language == "fr" else f"{share}%"

    # -- times

    def local(self, value: str | datetime | None) -> datetime | None:
        at = parse_time(value)
        return at.astimezone(self.zone) if at else None

    def clock(self, value: str | datetime | None) -> str:
        at = self.local(value)
        return f"{at:%H:%M}" if at else "–"

    def day(self, value: date | str | None, *, year: bool = False) -> str:
        """``29 oct.`` / ``29 Oct``, with the year when asked or when it is not this year's."""
        if isinstance(value, str):
            try:
                return self.day(date.fromisoformat(value[:10]), year=year)
            except ValueError:
                return value
        if value is None:
            return "–"
        first = "1er" if value.day == 1 and self.language == "fr" else str(value.day)
        text = f"{first}{FIXED}{_SHORT[self.language][value.month - 1]}"
        return f"{text} {value.year}" if year or value.year != self.now.year else text

    def long_day(self, value: date) -> str:
        """``dimanche 22 novembre 2026`` / ``Sunday 22 November 2026``."""
        first = "1er" if value.day == 1 and self.language == "fr" else str(value.day)
        return f"{_DAYS[self.language][value.weekday()]} {first} {_MONTHS[self.language][value.month - 1]} {value.year}"

    def when(self, value: str | datetime | None) -> str:
        """``aujourd’hui 06:04``, ``hier 16:05``, ``9 nov. 06:04``."""
        at = self.local(value)
        if at is None:
            return "–"
        days = (self.now.date() - at.date()).days
        if days == 0:
            return f"{self('time.today')} {at:%H:%M}"
        if days in (1, -1):
            return f"{self('time.yesterday' if days == 1 else 'time.tomorrow')} {at:%H:%M}"
        return f"{self.day(at.date())} {at:%H:%M}"

    def span(self, seconds: float) -> str:
        """``42 min``, ``29 h``, ``3 jours``."""
        minutes = max(0, int(seconds // 60))
        if minutes < 60:
            return str(self("time.minutes", n=max(1, minutes)))
        if minutes < 48 * 60:
            return str(self("time.hours", n=minutes // 60))
        return str(self("time.days", n=minutes // 1440))

    def ago(self, value: str | datetime | None) -> Markup:
        """A ``<time>`` in relative words; the exact instant stays in ``datetime``, the script may keep it ticking."""
        at = self.local(value)
        if at is None:
            return Markup("–")
        gap = (self.now - at).total_seconds()
        words = self("time.ahead", span=self.span(-gap)) if gap < 0 else self("time.ago", span=self.span(gap))
        utc = at.astimezone(ZoneInfo("UTC"))
        return Markup('<time data-rel datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%MZ}", words)

    def stamp(self, value: str | datetime | None) -> Markup:
        """A ``<time>`` in exact words."""
        at = parse_time(value)
        if at is None:
            return Markup("–")
        utc = at.astimezone(ZoneInfo("UTC"))
        return Markup('<time datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%MZ}", self.when(at))

    def period(self, code: str | None, *, short: bool = False) -> str:
        """A DHIS2 period in words; as it came when it is none."""
        if not code:
            return "–"
        try:
            kind = periods.period_type(code)
            first, _ = periods.bounds(code)
        except ValueError:
            return code
        match kind:
            case "Monthly":
                return f"{(_SHORT if short else _MONTHS)[self.language][first.month - 1]}{FIXED}{first.year}"
            case "Quarterly":
                return str(self("period.quarter", q=code[-1], year=str(first.year)))
            case "Weekly":
                return str(self("period.week", w=code.split("W")[1], year=str(first.year)))
            case "SixMonthly":
                return str(self("period.half", h=code[-1], year=str(first.year)))
            case "Daily":
                return self.day(first, year=True)
        return code

    def offset(self) -> str:
        delta = self.now.utcoffset() or timedelta()
        hours = delta.total_seconds() / 3600
        return f"UTC{'+' if hours >= 0 else '−'}{abs(hours):g}"
