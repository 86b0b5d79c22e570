"""Categories: codes, bands that overlap or leave somebody out, options nobody can have."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from itertools import combinations

from connector.findings import nearest
from connector.mappings.comparisons import comparisons, texts
from connector.mappings.linting import Checking
from connector.mappings.pack import UNKNOWN, Category
from connector.mappings.people import ages_at
from connector.mappings.where import Step

_FILE = "categories.yaml"
#: Somebody's birth, for comparing bands in days, months and years with each other.
_BORN = date(2001, 1, 1)
_OLDEST = 130 * 366
_UNITS = ("age_days", "age_months", "age_years")
#: A band without ``below`` ends nowhere.
_NO_END = 1_000_000


def check(one: Checking) -> None:
    for category in one.pack.categories.values():
        steps = ("categories", category.id)
        _codes(one, category, steps)
        if category.bands is None:
            _options(one, category, steps)
        else:
            _bands(one, category, steps)
    _same(one)
    by = {name for indicator in one.pack.indicators.values() for rule in indicator.rules.values() for name in rule.by}
    for name in one.pack.categories:
        if name not in by:
            one.add("unused.category", one.where.value(_FILE, "categories", name), name=name)
    sets = {indicator.data_set for indicator in one.pack.indicators.values()}
    for name in one.pack.data_sets:
        if name not in sets:
            one.add("unused.data_set", one.where.value("dhis2.yaml", "data_sets", name), name=name)


def _codes(one: Checking, category: Category, steps: tuple[Step, ...]) -> None:
    owner: dict[str, str] = {}
    for option, code in category.options.items():
        if code in owner:
            given = one.where.node(_FILE, *steps, "options", option, "code")
            last = ("code",) if given is not None else ("id",)
            place = one.where.value(_FILE, *steps, "options", option, *last)
            one.add("option.twice", place, name=category.id, code=code)
        owner[code] = option


def _options(one: Checking, category: Category, steps: tuple[Step, ...]) -> None:
    """Options of a coded fact that it never is."""
    possible = _possible(one, category.fact)
    if possible is None:
        return
    for option in category.options:
        if option not in possible and option != UNKNOWN:
            place = one.where.value(_FILE, *steps, "options", option, "id")
            near = nearest(option, possible)
            one.add("option.never", place, name=category.id, fact=category.fact, option=option, nearest=near)


def _possible(one: Checking, fact: str) -> list[str] | None:
    concept = one.pack.concepts.get(fact)
    if concept is not None:
        return list(concept.answers) or None
    derived = one.pack.derived.get(fact)
    if derived is None:
        return None
    compared = {found.text for found in comparisons(derived.source)}
    return sorted(text for text in texts(derived.source) if text not in compared) or None


def _same(one: Checking) -> None:
    """Categories of the pack that are one at DHIS2 have its options."""
    for first, second in combinations(one.pack.categories.values(), 2):
        if first.code == second.code and set(first.options.values()) != set(second.options.values()):
            differ = sorted(set(first.options.values()) ^ set(second.options.values()))
            place = one.where.value(_FILE, "categories", second.id, "code")
            one.add(
                "category.differs", place, name=second.id, other=first.id, code=first.code, options=", ".join(differ)
            )  # fmt: skip


# ---------------------------------------------------------------- bands


def _bands(one: Checking, category: Category, steps: tuple[Step, ...]) -> None:
    bands = category.bands or {}
    fact = category.fact
    for option in category.options:
        if option not in bands and option != UNKNOWN:
            place = one.where.value(_FILE, *steps, "options", option)
            one.add("band.missing", place, name=category.id, option=option)
    fine = True
    for option, (low, high) in bands.items():
        if low >= high:
            fine = False
            place = one.where.value(_FILE, *steps, "options", option, "below")
            one.add("band.empty", place, name=category.id, option=option, low=low, high=high)
    units = {option: category.band_facts.get(option, fact) for option in bands}
    for (first, (low, high)), (second, (start, end)) in combinations(bands.items(), 2):
        if units[first] == units[second] and low < end and start < high and low < high and start < end:
            fine = False
            place = one.where.value(_FILE, *steps, "options", second, "from")
            one.add("band.overlap", place, name=category.id, one=first, other=second)
    if fine and bands:
        _reach(one, category, steps, units)


def _reach(one: Checking, category: Category, steps: tuple[Step, ...], units: dict[str, str]) -> None:
    """Values between the first and the last band that fall in none, and bands nobody ever falls in."""
    bands = category.bands or {}
    ages = set(units.values()) <= set(_UNITS)
    if not ages and len(set(units.values())) > 1:
        return  # facts that cannot be compared
    edges = [_span(units[option], low, high, ages) for option, (low, high) in bands.items()]
    points = sorted({point for low, high in edges for point in (low, low - 1, high, high - 1) if point >= 0})
    falls = {
        point: next((index for index, (low, high) in enumerate(edges) if low <= point < high), None) for point in points
    }
    names = list(bands)
    for index, option in enumerate(names):
        if index not in falls.values():
            place = one.where.value(_FILE, *steps, "options", option)
            one.add("band.unreachable", place, name=category.id, option=option)
    inside = [point for point in points if min(low for low, _ in edges) <= point < max(high for _, high in edges)]
    for point in inside:
        if falls[point] is not None:
            continue
        before = max((index for index, (_, high) in enumerate(edges) if high <= point), key=lambda i: edges[i][1])
        after = min((index for index, (low, _) in enumerate(edges) if low > point), key=lambda i: edges[i][0])
        place = one.where.value(_FILE, *steps, "options", names[after], "from")
        unit = units[names[after]]
        gap = f"{bands[names[before]][1]} {units[names[before]]} – {bands[names[after]][0]} {unit}"
        one.add("band.gap", place, name=category.id, one=names[before], other=names[after], gap=gap)
        return


def _span(unit: str, low: int, high: int, ages: bool) -> tuple[int, int]:
    """A band in days of life, or as it is."""
    if not ages:
        return low, high
    return _first_day(unit, low), _OLDEST if high >= _NO_END else _first_day(unit, high)


@lru_cache(maxsize=1024)
def _first_day(unit: str, count: int) -> int:
    """The day of life on which an age is reached."""
    if unit == "age_days" or count == 0:
        return min(count, _OLDEST)
    months = count * (12 if unit == "age_years" else 1)
    low, high = 0, _OLDEST
    while low < high:
        middle = (low + high) // 2
        reached = ages_at(_BORN + timedelta(days=middle), _BORN.isoformat())
        if reached is not None and reached[1] >= months:
            high = middle
        else:
            low = middle + 1
    return low
