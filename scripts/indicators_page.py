"""``docs/indicators.md``: the indicators of the Mali pack for the people who answer for the figures, French first.

Read off the pack, so that the page cannot say another rule than the one that counts. ``make_reference.py`` writes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from connector.mappings.config import load_pack
from connector.mappings.pack import Indicator, Pack

ROOT = Path(__file__).parents[1]
AREAS = {
    "sec": ("Soins essentiels dans la communauté", "Essential community care"),
    "epargne": ("Groupes d'épargne", "Savings groups"),
    "promotion": ("Promotion de la santé", "Health promotion"),
    "gouvernance": ("Gouvernance des CSCom", "Governance of the health centres"),
}
PERIODS = {
    "Daily": ("chaque jour", "daily"),
    "Weekly": ("chaque semaine", "weekly"),
    "Monthly": ("chaque mois", "monthly"),
    "BiMonthly": ("tous les deux mois", "every two months"),
    "Quarterly": ("chaque trimestre", "quarterly"),
    "SixMonthly": ("chaque semestre", "every six months"),
    "Yearly": ("chaque année", "yearly"),
}
AGGREGATES = {
    "count": ("nombre de : {what}", "number of: {what}"),
    "sum": ("somme, sur : {what}", "sum, over: {what}"),
    "distinct": ("chaque {key} compte une fois, sur : {what}", "each {key} counts once, over: {what}"),
    "distinct_at_least": (
        "chaque {key} qui revient assez souvent compte une fois, sur : {what}",
        "each {key} that comes often enough counts once, over: {what}",
    ),
    "latest": ("le dernier connu, sur : {what}", "the latest known, over: {what}"),
    "first": ("le premier, sur : {what}", "the first, over: {what}"),
}
KEYS = {
    "subject": ("personne", "person"),
    "worker": ("ASC", "CHW"),
    "household": ("ménage", "household"),
    "group": ("groupe", "group"),
    "place": ("lieu", "place"),
}
PARTS = {
    "count": ("Condition", "Condition"),
    "num": ("Numérateur", "Numerator"),
    "den": ("Dénominateur", "Denominator"),
}


HEAD = """# Les indicateurs / The indicators

Ce que Relais compte avec le paquet `config/mali-health`, et comment les chiffres s'appellent dans DHIS2. Chaque chiffre
compte à la date du service, au lieu où le service a été rendu. « Pas demandé » n'est jamais « non ». Un malade d'âge
inconnu est compté avec les enfants, à part, sous « Inconnu ». Les règles sont écrites telles que Relais les applique
([comment les lire](informatician.md#conditions)).

*What Relais counts with the pack `config/mali-health`, and what the figures are called in DHIS2. Each counts on the day
of the service, at the place of the service. "Not asked" is never "no". A patient of unknown age is counted with the
children, apart, under "Unknown". Rules are shown as Relais applies them
([how to read them](informatician.md#conditions)).*
"""


class _Environment(dict[str, str]):
    """Whatever the pack asks for: no connection is made here."""

    def get(self, name: str, default: Any = None) -> Any:
        return "http://127.0.0.1"


def load(folder: Path = ROOT / "config/mali-health") -> Pack:
    return load_pack(folder, _Environment())[0]


def page(pack: Pack, escape: Callable[[str], str]) -> str:
    """The page. ``escape`` makes a text safe inside a table."""
    by_area: Mapping[str, list[Indicator]] = defaultdict(list)
    for indicator in pack.indicators.values():
        by_area[indicator.area].append(indicator)
    by_area = {area: by_area[area] for area in sorted(by_area, key=lambda one: [*AREAS, one].index(one))}
    out = [HEAD]
    for area, indicators in by_area.items():
        french, english = AREAS.get(area, (area, area))
        out.append(f"- {french} / *{english}*: " + ", ".join(f"[{i.id}](#{_anchor(i)})" for i in indicators))
    out.append("")
    for area, indicators in by_area.items():
        french, english = AREAS.get(area, (area, area))
        out.append(f"## {french} / {english}\n")
        for indicator in indicators:
            out.extend(_indicator(pack, indicator, escape))
    out.extend(_categories(pack, by_area, escape))
    out.extend(_derived(pack, escape))
    return "\n".join(out)


def _title(indicator: Indicator) -> str:
    return f"{indicator.id} {_text(indicator.name, 'fr')}"


def _anchor(indicator: Indicator) -> str:
    kept = "".join(c for c in _title(indicator).lower() if c.isalnum() or c in " -_")
    return kept.strip().replace(" ", "-")


def _text(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or texts.get("fr") or next(iter(texts.values()), "")


def _indicator(pack: Pack, indicator: Indicator, escape: Callable[[str], str]) -> Iterator[str]:
    yield f"### {_title(indicator)}\n"
    yield f"*{_text(indicator.name, 'en')}*\n"
    if indicator.definition:
        yield f"{_text(indicator.definition, 'fr')}\\\n*{_text(indicator.definition, 'en')}*\n"
    yield "| | |\n|---|---|"
    for label, text in _rows(pack, indicator):
        yield f"| {label} | {escape(text)} |"
    yield ""


def _rows(pack: Pack, indicator: Indicator) -> Iterator[tuple[str, str]]:
    data_set = pack.data_sets[indicator.data_set]
    yield "Compte / Counts", " / ".join(_counts(pack, indicator, n) for n in (0, 1))
    for part, predicate in sorted(indicator.parts.items()):
        source = str(getattr(predicate, "source", predicate))
        if source != "true" or part != "count":
            shown = "tous / *all*" if source == "true" else f"`{source}`"
            amount = (indicator.amount or {}).get(part)
            yield " / ".join(PARTS.get(part, (part, part))), shown + (f", Σ `{amount.source}`" if amount else "")
        elif indicator.amount and part in indicator.amount:
            yield "Somme de / Sum of", f"`{indicator.amount[part].source}`"
    if indicator.by:
        names = [
            f"{_text(pack.categories[one].name, 'fr')} / *{_text(pack.categories[one].name, 'en')}*"
            for one in indicator.by
        ]
        yield "Ventilation / Split by", " × ".join(names)
    yield "Période / Period", "{} / *{}*".format(*PERIODS.get(data_set.period_type, (data_set.period_type,) * 2))
    yield "Ensemble / Data set", f"`{data_set.code}` {_text(data_set.name, 'fr')}"
    yield "Éléments / Data elements", ", ".join(f"`{code}`" for code in indicator.elements.values())
    if indicator.chis:
        yield "DHIS2 CHIS", f"`{indicator.chis}`"
    small = getattr(indicator, "small", None)
    small = getattr(data_set, "small", None) if small is None else small
    if small:
        yield "Petits effectifs / Small cells", f"signalés sous {small} / *flagged under {small}*"


def _counts(pack: Pack, indicator: Indicator, language: int) -> str:
    code = ("fr", "en")[language]
    kinds = ", ".join(
        _text(pack.activities[kind].name, code).lower() for kind in indicator.counts if kind in pack.activities
    )
    if indicator.each:
        each = (
            _text(pack.concepts[indicator.each].name, code).lower()
            if indicator.each in pack.concepts
            else indicator.each
        )
        kinds = f"{each} ({kinds})"
    words = AGGREGATES.get(indicator.aggregate, (f"{indicator.aggregate}: {{what}}",) * 2)[language]
    key = KEYS.get(indicator.distinct or "", (indicator.distinct or "",) * 2)[language]
    return words.format(what=kinds, key=key)


def _categories(pack: Pack, by_area: Mapping[str, Iterable[Indicator]], escape: Callable[[str], str]) -> Iterator[str]:
    used = dict.fromkeys(one for indicators in by_area.values() for i in indicators for one in i.by)
    yield "## Ventilations / Splits\n"
    yield "| | Options / *Options* |\n|---|---|"
    for name in used:
        category = pack.categories[name]
        options = "; ".join(
            f"{_text(category.option_names[o], 'fr')} / *{_text(category.option_names[o], 'en')}* `{code}`"
            for o, code in category.options.items()
        )
        title = f"{_text(category.name, 'fr')} / *{_text(category.name, 'en')}*"
        yield f"| {escape(title)} | {escape(options)} |"
    yield ""


def _derived(pack: Pack, escape: Callable[[str], str]) -> Iterator[str]:
    yield "## Faits calculés / Facts worked out from others\n"
    yield "| | |\n|---|---|"
    for name, predicate in pack.derived.items():
        yield f"| `{name}` | {escape(f'`{predicate.source}`')} |"
    yield ""
