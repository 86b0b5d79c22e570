"""``docs/indicators.md``: the indicators of the Mali pack for the people who answer for the figures, French first.

Read off the pack, so that the page cannot say another rule than the one that counts. ``make_reference.py`` writes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from connector.mappings.config import load_pack
from connector.mappings.pack import Indicator, Pack, PartRule, Predicate

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
        "chaque {key} avec {n} fiches ou plus dans la période compte une fois, sur : {what}",
        "each {key} with {n} records or more in the period counts once, over: {what}",
    ),
    "latest": (
        "de chaque {key} la dernière fiche de la période, sur : {what}",
        "of each {key} the last record of the period, over: {what}",
    ),
    "first": (
        "de chaque {key} la première fiche de la période, sur : {what}",
        "of each {key} the first record of the period, over: {what}",
    ),
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
    out.extend(_several(pack, escape))
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
    counts = {part: " / ".join(_counts(pack, rule, n) for n in (0, 1)) for part, rule in indicator.rules.items()}
    alike = len(set(counts.values())) == 1
    if alike:
        yield "Compte / Counts", next(iter(counts.values()))
    for part, predicate in sorted(indicator.parts.items()):
        label, amount = " / ".join(PARTS.get(part, (part, part))), indicator.rules[part].amount
        shown = "tous / *all*" if predicate.source == "true" else f"`{predicate.source}`"
        summed = f", Σ `{amount.source}`" if amount else ""
        if not alike:
            yield label, f"{counts[part]}: {shown}{summed}"
        elif predicate.source != "true" or part != "count":
            yield label, shown + summed
        elif amount:
            yield "Somme de / Sum of", f"`{amount.source}`"
    by = _by(indicator)
    if by:
        names = [f"{_text(pack.categories[one].name, 'fr')} / *{_text(pack.categories[one].name, 'en')}*" for one in by]
        yield "Ventilation / Split by", " × ".join(names)
    yield "Période / Period", "{} / *{}*".format(*PERIODS.get(data_set.period_type, (data_set.period_type,) * 2))
    yield "Ensemble / Data set", f"`{data_set.code}` {_text(data_set.name, 'fr')}"
    yield "Éléments / Data elements", ", ".join(f"`{code}`" for code in indicator.elements.values())
    if indicator.chis:
        yield "DHIS2 CHIS", f"`{indicator.chis}`"
    small = data_set.small if indicator.small is None else indicator.small
    if small:
        yield "Petits effectifs / Small cells", f"signalés sous {small} / *flagged under {small}*"


def _by(indicator: Indicator) -> list[str]:
    return list(dict.fromkeys(name for rule in indicator.rules.values() for name in rule.by))


def _counts(pack: Pack, rule: PartRule, language: int) -> str:
    code = ("fr", "en")[language]
    named: Mapping[str, Any] = {**pack.activities, **pack.episodes, **pack.registers}
    kinds = ", ".join(_text(named[kind].name, code).lower() for kind in rule.counts if kind in named)
    if rule.each:
        each = _text(pack.concepts[rule.each].name, code).lower() if rule.each in pack.concepts else f"`{rule.each}`"
        kinds = f"{each} ({kinds})"
    aggregate = "distinct_at_least" if rule.at_least > 1 else rule.aggregate
    key = KEYS.get(rule.distinct or "", (rule.distinct or "",) * 2)[language]
    words = AGGREGATES[aggregate][language].format(what=kinds, key=key, n=rule.at_least)
    if rule.among is not None:
        words += (", parmi celles où `{}`", ", among those where `{}`")[language].format(rule.among.source)
    if rule.period is not None:
        words += (", dans la période de `{}`", ", in the period of `{}`")[language].format(rule.period)
    return words


def _categories(pack: Pack, by_area: Mapping[str, Iterable[Indicator]], escape: Callable[[str], str]) -> Iterator[str]:
    used = dict.fromkeys(one for indicators in by_area.values() for i in indicators for one in _by(i))
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


def _several(pack: Pack, escape: Callable[[str], str]) -> Iterator[str]:
    """Episodes and registers: what they are made of, and the facts worked out."""
    yield "## Épisodes et registres / Episodes and registers\n"
    yield "| | |\n|---|---|"
    for episode in pack.episodes.values():
        rules = [("fr", "ouvert par", "avec"), ("en", "opened by", "with")]
        words = []
        for language, opened, members in rules:
            text = f"{opened} {_kinds(pack, episode.opens, language)}"
            if episode.when is not None:
                text += f" (`{episode.when.source}`)"
            if episode.members:
                text += f", {members} " + ", ".join(
                    f"{_kinds(pack, [m.kind], language)} ({m.first:+d}…{m.last:+d} j/d)" for m in episode.members
                )
            words.append(text)
        yield _line(episode.name, " / ".join(words), episode.facts, escape)
    for register in pack.registers.values():
        condition = f"`{register.when.source}`" if register.when is not None else "tous / *all*"
        yield _line(register.name, condition, register.facts, escape)
    yield ""


def _line(name: Mapping[str, str], text: str, facts: Mapping[str, Predicate], escape: Callable[[str], str]) -> str:
    worked_out = "; ".join(f"`{fact}`: `{' '.join(one.source.split())}`" for fact, one in facts.items())
    shown = escape(text + (f". {worked_out}" if worked_out else ""))
    return f"| {escape(_text(name, 'fr'))} / *{escape(_text(name, 'en'))}* | {shown} |"


def _kinds(pack: Pack, kinds: Iterable[str], language: str) -> str:
    return ", ".join(_text(pack.activities[kind].name, language).lower() for kind in kinds if kind in pack.activities)
