"""The figures of one block as a FHIR MeasureReport of type summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from connector.mappings.fhir_terms import MAX_INTEGER, TERMINOLOGY, Ids, Json, Terms, canonical_number, coded, logical
from connector.mappings.pack import DataSet, Indicator, Pack
from connector.periods import bounds

ORG_UNIT = "urn:relais:org-unit"
MEASURE = "urn:relais:measure"
CATEGORY = "urn:relais:category"

Categories = tuple[tuple[str, str], ...]
#: (indicator id, part, categories, value), as the tally has them; a value may be decimal text
CellValue = tuple[str, str, Sequence[tuple[str, str]], Decimal | int | str]

_POPULATIONS = {
    part: coded(TERMINOLOGY + "measure-population", code)
    for part, code in (("num", "numerator"), ("den", "denominator"), ("count", "measure-population"))
}


def measure_report(
    pack: Pack, terms: Terms, ids: Ids, data_set: DataSet | str, org_unit: str, period: str, cells: Iterable[CellValue]
) -> Json:
    """``data_set``: a DataSet, its id or its code; ``org_unit``: DHIS2 code; ``period``: DHIS2 period (ValueError when
    it is none). Cells of indicators the pack does not have are left out."""
    if isinstance(data_set, str):
        known = pack.data_sets.get(data_set)
        code = known.code if known is not None else data_set
    else:
        code = data_set.code
    key = f"{code}/{org_unit}/{period}"
    first, last = bounds(period)
    report: Json = {
        "resourceType": "MeasureReport",
        "id": ids("MeasureReport", "measure", key),
        "identifier": [{"system": MEASURE, "value": key}],
        "status": "complete",
        "type": "summary",
        "measure": f"{MEASURE}:{code}",
        "subject": logical("Location", ORG_UNIT, org_unit),
        "reporter": logical("Location", ORG_UNIT, org_unit),
        "period": {"start": first.isoformat(), "end": last.isoformat()},
    }
    strata: dict[str, dict[Categories, dict[str, Decimal]]] = {}
    for indicator, part, categories, value in cells:
        strata.setdefault(indicator, {}).setdefault(tuple(categories), {})[part] = Decimal(value)
    groups = [
        _group(pack, terms, pack.indicators[id], of_indicator)
        for id, of_indicator in sorted(strata.items())
        if id in pack.indicators
    ]
    if groups:
        report["group"] = groups
    return report


def _group(pack: Pack, terms: Terms, indicator: Indicator, strata: Mapping[Categories, Mapping[str, Decimal]]) -> Json:
    group: Json = {"code": coded("urn:relais:indicator", indicator.id, terms.words(indicator.name))}
    # who is counted once may stand in two categories (one product, another product): no total of those
    aggregate = next(iter(indicator.rules.values())).aggregate
    if not any(rule.by and rule.each and rule.aggregate == "distinct" for rule in indicator.rules.values()):
        totals: dict[str, Decimal] = {}
        for parts in strata.values():
            for part, value in parts.items():
                totals[part] = totals.get(part, Decimal()) + value
        group.update(_figures(totals, aggregate))
    by = dict.fromkeys(name for rule in indicator.rules.values() for name in rule.by)
    if by:
        stratum = [
            {
                "component": [
                    {"code": coded(CATEGORY, category), "value": _option(pack, terms, category, option)}
                    for category, option in categories
                ],
                **_figures(parts, aggregate),
            }
            for categories, parts in sorted(strata.items())
            if categories
        ]
        if stratum:
            group["stratifier"] = [{"code": [coded(CATEGORY, category) for category in by], "stratum": stratum}]
    return group


def _option(pack: Pack, terms: Terms, category: str, option: str) -> Json:
    known = pack.categories.get(category)
    text = terms.words(known.option_names.get(option, {})) if known is not None else ""
    return coded(f"{CATEGORY}:{category}", option, text)


def _figures(parts: Mapping[str, Decimal], aggregate: str) -> Json:
    """Populations for counts; a score for the one figure of a sum, which may pass the 32 bits of a population."""
    out: Json = {}
    population: list[Json] = []
    for part, code in _POPULATIONS.items():
        if part not in parts:
            continue
        number = canonical_number(parts[part])
        amount = aggregate in ("sum", "first", "latest")
        if part == "count" and (amount or not isinstance(number, int) or number > MAX_INTEGER):
            out["measureScore"] = {"value": number}
        else:
            population.append({"code": code, "count": number})
    if population:
        out["population"] = population
    return out
