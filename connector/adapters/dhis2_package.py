"""From what a pack needs and what a DHIS2 has: what is missing there, and the metadata package that makes it. Pure.

Objects are known by code. What is there stays as it is: a package holds new objects only; a data set that is there
gets elements and org units added. What cannot be added without changing what figures mean that are there already (an
option of a category, the combination of an element) is left to a person. Identifiers of new objects depend on the
pack and the code alone, so the same package comes out each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from connector.adapters.dhis2_naming import LONGEST, Naming, french, translation
from connector.identity import Names
from connector.mappings.needs import DEFAULT, Dhis2Needs, NeededDataSet
from connector.model import Lack

Json = dict[str, Any]
Row = Mapping[str, Any]

#: Combination without categories; the same on every server (005, 374).
_DEFAULT_COMBO = "bjDvmb4bfuf"
KINDS = {
    "categoryOptions": "category_option",
    "categories": "category",
    "categoryCombos": "category_combo",
    "dataElements": "data_element",
    "dataSets": "data_set",
}
#: Why a person must see to it: English, French.
_WHY: Mapping[str, tuple[str, str]] = {
    "options": (
        "it is in DHIS2 without {0}; adding an option changes every combination made of it: an administrator decides",
        "elle est dans DHIS2 sans {0} ; ajouter une option change toutes ses combinaisons : un administrateur décide",
    ),
    "long": (
        "DHIS2 keeps codes of 50 letters at most and {0} is longer: shorten codes in the pack",
        "DHIS2 garde des codes de 50 lettres au plus et {0} est plus long : raccourcir des codes du paquet",
    ),
    "taken": (
        "the code {0} belongs to another combination in DHIS2",
        "le code {0} appartient à une autre combinaison dans DHIS2",
    ),
    "categories": ("in DHIS2 it is made of {0}", "dans DHIS2 elle est faite de {0}"),
    "not_made": (
        "DHIS2 has not made it: in its app Data administration run “Update category option combinations”",
        "DHIS2 ne l'a pas faite : dans son application Administration lancer la mise à jour des combinaisons",
    ),
    "other_code": ("its code in DHIS2 is {0}", "son code dans DHIS2 est {0}"),
    "split": (
        "in DHIS2 it is split by {0}, in the pack by {1}; figures may be there already: an administrator decides",
        "dans DHIS2 il est ventilé par {0}, dans le paquet par {1} ; des chiffres y sont peut-être déjà : un "
        "administrateur décide",
    ),
    "period": ("in DHIS2 it is {0}, in the pack {1}", "dans DHIS2 elle est {0}, dans le paquet {1}"),
    "renamed": (
        "Relais made it once and its code in DHIS2 is now {0}: give it back its code",
        "Relais l'a créé et son code dans DHIS2 est maintenant {0} : lui rendre son code",
    ),
    "waits": (
        "it is made of {0}, which a person must see to first",
        "il est fait de {0}, qu'une personne doit d'abord régler",
    ),
    "org_unit": (
        "the tree of org units is the ministry's: add it there, or mend org_units.csv",
        "l'arbre des unités est celui du ministère : l'y ajouter, ou corriger org_units.csv",
    ),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a server. ``names``: collection -> every ``{id, code, name, shortName}`` of it. The others: code
    -> the object with what hangs on it, for the codes of the pack."""

    names: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    categories: Mapping[str, Row] = field(default_factory=dict)
    combos: Mapping[str, Row] = field(default_factory=dict)
    option_combos: Mapping[str, Row] = field(default_factory=dict)  #: of any combination, by code
    elements: Mapping[str, Row] = field(default_factory=dict)
    data_sets: Mapping[str, Row] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)  #: org unit code -> UID
    user: str = ""  #: UID of the account that Relais sends with


@dataclass(frozen=True, slots=True)
class Plan:
    """``new``: collection -> objects to import. ``patches``: address of an object -> what is added to it."""

    lacks: tuple[Lack, ...]
    new: Mapping[str, Sequence[Json]]
    patches: Mapping[str, Sequence[Json]]


def option_combos(needs: Dhis2Needs, combo: str) -> Iterator[tuple[str, ...]]:
    """The option codes of every combination, in order."""
    return product(*(needs.categories[code].options for code in needs.combos[combo]))


def plan(needs: Dhis2Needs, found: Found, names: Names) -> Plan:
    """Compare; see the module's own words."""
    return _Planner(needs, found, names).plan()


class _Planner:
    def __init__(self, needs: Dhis2Needs, found: Found, names: Names) -> None:
        self.needs, self.found, self.names = needs, found, names
        self.lacks: list[Lack] = []
        self.new: dict[str, list[Json]] = {}
        self.patches: dict[str, list[Json]] = {}
        self.ids: dict[tuple[str, str], str] = {("categoryCombos", DEFAULT): _DEFAULT_COMBO}  #: there or to be made
        self.stuck: set[tuple[str, str]] = set()  #: what a person must see to first
        category_of = {o: c.name for c in list(needs.categories.values())[::-1] for o in c.options}
        combos = {code: self._joined(categories) for code, categories in needs.combos.items()}
        self.named = {
            "categoryOptions": Naming(
                needs.options, self._rows("categoryOptions"), lambda code: category_of.get(code, {})
            ),
            "categories": self._naming("categories", needs.categories),
            "categoryCombos": Naming(combos, self._rows("categoryCombos")),
            "dataElements": self._naming("dataElements", needs.elements),
            "dataSets": self._naming("dataSets", needs.data_sets),
        }

    def _naming(self, collection: str, wanted: Mapping[str, Any]) -> Naming:
        return Naming({code: one.name for code, one in wanted.items()}, self._rows(collection))

    def plan(self) -> Plan:
        """Each kind of object after those it refers to."""
        for code in self.needs.options:
            # Whoever enters or reads figures needs data access to the options as well as to the data set (369, 370).
            self._object("categoryOptions", code, {"sharing": self._sharing("r-r-----")})
        self._categories()
        for code, categories in self.needs.combos.items():
            there = self.found.combos.get(code)
            if there is not None:
                self._combo_there(code, categories, there)
            elif self._all("categories", categories, "categoryCombos", code) and self._free(code):
                self._new_combo(code, categories)
        self._elements()
        self._data_sets()
        return Plan(tuple(self.lacks), self.new, self.patches)

    # ------------------------------------------------------------ categories and their combinations

    def _categories(self) -> None:
        for code, needed in self.needs.categories.items():
            there = self.found.categories.get(code)
            if there is None:
                if self._all("categoryOptions", needed.options, "categories", code):
                    links = [{"id": self.ids["categoryOptions", one]} for one in needed.options]
                    body = {"dataDimensionType": "DISAGGREGATION", "dataDimension": True, "categoryOptions": links}
                    self._object("categories", code, {**body, "sharing": self._sharing("r-------")})
                continue
            self.ids["categories", code] = str(there["id"])
            has = {one.get("code") for one in there.get("categoryOptions", ())}
            if lacking := [one for one in needed.options if one not in has]:
                self._stuck("categories", code, "options", _some(lacking))

    def _joined(self, categories: Iterable[str]) -> dict[str, str]:
        names = [self.needs.categories[one].name for one in categories]
        return {language: " × ".join(name.get(language) or french(name) for name in names) for language in ("fr", "en")}

    def _free(self, combo: str) -> bool:
        """Are the codes of its option combinations short enough, and nobody else's? DHIS2 keeps them unique (012)."""
        codes = ["-".join(chosen) for chosen in option_combos(self.needs, combo)]
        if long := [code for code in codes if len(code) > LONGEST]:
            self._stuck("categoryCombos", combo, "long", _some(long))
        elif taken := [code for code in codes if code in self.found.option_combos]:
            self._stuck("categoryCombos", combo, "taken", _some(taken))
        return ("categoryCombos", combo) not in self.stuck

    def _new_combo(self, code: str, categories: Sequence[str]) -> None:
        """With all its option combinations: DHIS2 would make them, but without codes and only on demand (005, 013)."""
        named = {row["code"]: row["name"] for row in self.new.get("categoryOptions", ())}
        named |= {str(row.get("code")): row.get("name") for row in self._rows("categoryOptions")}
        made = [
            {
                "id": self.names.dhis2_uid("dhis2", "categoryOptionCombos", code, *chosen),
                "code": "-".join(chosen),
                "name": ", ".join(str(named[one]) for one in chosen),
                "categoryCombo": {"id": self._uid("categoryCombos", code)},
                "categoryOptions": [{"id": self.ids["categoryOptions", one]} for one in chosen],
            }
            for chosen in option_combos(self.needs, code)
        ]
        body = {
            "dataDimensionType": "DISAGGREGATION",
            "skipTotal": False,
            "categories": [{"id": self.ids["categories", one]} for one in categories],
            "categoryOptionCombos": [{"id": one["id"]} for one in made],
            "sharing": self._sharing("r-------"),
        }
        if self._object("categoryCombos", code, body, short=False):
            self.new.setdefault("categoryOptionCombos", []).extend(made)

    def _combo_there(self, code: str, categories: Sequence[str], there: Row) -> None:
        self.ids["categoryCombos", code] = str(there["id"])
        has = [str(one.get("code")) for one in there.get("categories", ())]
        if set(has) != set(categories):
            self._stuck("categoryCombos", code, "categories", _some(has) or "?")
            return
        by_options = {
            frozenset(str(option.get("code")) for option in one.get("categoryOptions", ())): one
            for one in there.get("categoryOptionCombos", ())
        }
        for chosen in option_combos(self.needs, code):
            wanted, one = "-".join(chosen), by_options.get(frozenset(chosen))
            name = str((one or {}).get("name", ""))
            if one is None:
                self._lack("option_combo_code", wanted, name, "not_made")
            elif one.get("code") and one["code"] != wanted:
                self._lack("option_combo_code", wanted, name, "other_code", one["code"])
            elif not one.get("code"):
                change = {"op": "add", "path": "/code", "value": wanted}
                self.patches.setdefault(f"/api/categoryOptionCombos/{one['id']}", []).append(change)
                self._lack("option_combo_code", wanted, name)

    # ------------------------------------------------------------ elements and data sets

    def _elements(self) -> None:
        for code, element in self.needs.elements.items():
            there = self.found.elements.get(code)
            if there is not None:
                self.ids["dataElements", code] = str(there["id"])
                combo = (there.get("categoryCombo") or {}).get("code", DEFAULT)
                if combo != element.combo:
                    self._stuck("dataElements", code, "split", combo, element.combo)
            elif self._all("categoryCombos", [element.combo], "dataElements", code):
                body: Json = {
                    "valueType": element.value_type,
                    "domainType": "AGGREGATE",
                    "aggregationType": element.aggregation,
                    "zeroIsSignificant": True,  # else a figure that falls to nought disappears (040, 041)
                    "categoryCombo": {"id": self.ids["categoryCombos", element.combo]},
                    "sharing": self._sharing("r-------"),
                }
                if text := element.description.get("fr"):
                    body["description"] = text
                self._object("dataElements", code, body, described=element.description)

    def _data_sets(self) -> None:
        needed = self.needs.data_sets
        for unit in sorted({unit for one in needed.values() for unit in one.org_units} - set(self.found.units)):
            self._lack("org_unit", unit, "", "org_unit")
        for code, one in needed.items():
            elements = [
                element
                for element, needs in self.needs.elements.items()
                if needs.data_set == code
                and ("dataElements", element) in self.ids
                and ("dataElements", element) not in self.stuck
            ]
            units = [unit for unit in one.org_units if unit in self.found.units]
            there = self.found.data_sets.get(code)
            if there is not None:
                self._data_set_there(code, there, elements, units)
            else:
                self._new_data_set(code, one, elements, units)

    def _new_data_set(self, code: str, one: NeededDataSet, elements: Sequence[str], units: Sequence[str]) -> None:
        own = {"id": self._uid("dataSets", code)}
        body = {
            "periodType": one.period_type,
            "openFuturePeriods": one.open_future_periods,
            "expiryDays": 0,
            "timelyDays": 15,
            "categoryCombo": {"id": _DEFAULT_COMBO},
            "dataSetElements": [
                {"dataSet": own, "dataElement": {"id": self.ids["dataElements", element]}} for element in elements
            ],
            "organisationUnits": [{"id": self.found.units[unit]} for unit in units],
            "sharing": self._sharing("r-------"),
        }
        self._object("dataSets", code, body)

    def _data_set_there(self, code: str, there: Row, elements: Sequence[str], units: Sequence[str]) -> None:
        period_type = self.needs.data_sets[code].period_type
        if there.get("periodType") != period_type:
            self._stuck("dataSets", code, "period", str(there.get("periodType")), period_type)
            return
        held = [_link(one) for one in there.get("dataSetElements", ())]
        has = {one["dataElement"]["id"] for one in held}
        more = [one for one in elements if self.ids["dataElements", one] not in has]
        links = [{"dataElement": {"id": self.ids["dataElements", one]}} for one in more]
        self._add(there, "/dataSetElements", held, links)
        for one in more:
            self._lack("data_set_element", f"{code}/{one}", french(self.needs.elements[one].name))
        assigned = [{"id": one["id"]} for one in there.get("organisationUnits", ())]
        new = [one for one in units if {"id": self.found.units[one]} not in assigned]
        self._add(there, "/organisationUnits", assigned, [{"id": self.found.units[one]} for one in new])
        for one in new:
            self._lack("data_set_org_unit", f"{code}/{one}")

    def _add(self, there: Row, path: str, held: list[Json], more: list[Json]) -> None:
        """The whole list again with what is new: the form that was seen to work (007, 010)."""
        if more:
            change = {"op": "add", "path": path, "value": [*held, *more]}
            self.patches.setdefault(f"/api/dataSets/{there['id']}", []).append(change)

    # ------------------------------------------------------------ common to all

    def _rows(self, collection: str) -> Sequence[Row]:
        return self.found.names.get(collection, ())

    def _uid(self, collection: str, code: str) -> str:
        return self.names.dhis2_uid("dhis2", collection, code)

    def _object(
        self, collection: str, code: str, body: Json, *, short: bool = True, described: Mapping[str, str] | None = None
    ) -> bool:
        """Add an object unless it is there; False when it is, or cannot be made."""
        for row in self._rows(collection):
            if row.get("code") == code:
                self.ids[collection, code] = str(row["id"])
                return False
            if row.get("id") == self._uid(collection, code):
                self._stuck(collection, code, "renamed", str(row.get("code") or "?"))
                return False
        if len(code) > LONGEST:
            self._stuck(collection, code, "long", code)
            return False
        self.ids[collection, code] = self._uid(collection, code)
        naming = self.named[collection]
        texts = {"name": naming.name[code], **({"shortName": naming.short[code]} if short else {})}
        translations = naming.translations(code, short=short)
        translations += [translation("DESCRIPTION", k, v) for k, v in (described or {}).items() if k != "fr"]
        self.new.setdefault(collection, []).append(
            {"id": self._uid(collection, code), "code": code, **texts, **body, "translations": translations}
        )
        self._lack(KINDS[collection], code, naming.name[code])
        return True

    def _all(self, collection: str, parts: Iterable[str], of: str, code: str) -> bool:
        """Is all that the object is made of there, or about to be?"""
        waits = [one for one in parts if (collection, one) in self.stuck or (collection, one) not in self.ids]
        if waits:
            self._stuck(of, code, "waits", _some(waits))
        return not waits

    def _stuck(self, collection: str, code: str, why: str, *words: str) -> None:
        self.stuck.add((collection, code))
        self._lack(KINDS[collection], code, self.named[collection].name[code], why, *words)

    def _lack(self, kind: str, code: str, name: str = "", why: str = "", *words: str) -> None:
        en, fr = _WHY[why] if why else ("", "")
        self.lacks.append(Lack(kind, code, name, en.format(*words), fr.format(*words)))

    def _sharing(self, public: str) -> Json:
        """Everybody may see that it exists, only Relais's account may write figures; whom to show them to is for the
        administrator. Form: 005."""
        users = {self.found.user: {"id": self.found.user, "access": "r-rw----"}} if self.found.user else {}
        return {"public": public, "users": users, "userGroups": {}}


def _link(row: Row) -> Json:
    """A link of a data set to an element as it is sent back."""
    combo = {"categoryCombo": {"id": row["categoryCombo"]["id"]}} if row.get("categoryCombo") else {}
    return {"dataElement": {"id": row["dataElement"]["id"]}, **combo}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" (+{len(names) - 3})" if len(names) > 3 else "")
