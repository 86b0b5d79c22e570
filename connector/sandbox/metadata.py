"""The DHIS2 of the synthetic district, and the tables that tie its places to the source apps.

``dhis2_metadata(...)`` gives the shape ``DHIS2Sim`` takes (docstring of ``dhis2.py``). The element and option tables
here are the sandbox's own: the configuration pack is written independently, and a difference between the two shows.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import product
from typing import Any

from connector.sandbox.district_people import People, Site

Json = dict[str, Any]

DISTRICT = "ML-KKO-D1"  #: the org unit below which the connector's DHIS2 user may write
TOKEN = "d2p_RelaisSandboxOnly0000000000000000000001"  #: of the connector's DHIS2 user, in the sandbox alone
USER, PASSWORD = "relais", "Relais-sandbox-1"
ADMIN, ADMIN_PASSWORD = "admin", "Relais-sandbox-admin-1"  #: may import metadata

#: Category code -> option codes in order; "unknown" is always the last.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "A1": ("A1_LT2M", "A1_M2_11", "A1_M12_59", "A1_UNK"),
    "A2": ("A2_D0_27", "A2_D28_M11", "A2_Y1_4", "A2_Y5_9", "A2_UNK"),
    "A3": ("A3_Y0_4", "A3_Y5_9", "A3_Y10_14", "A3_Y15_19", "A3_Y20P", "A3_UNK"),
    "A4": ("A4_Y10_14", "A4_Y15_19", "A4_Y20P", "A4_UNK"),
    "AN": ("AN_M6_11", "AN_M12_59", "AN_UNK"),
    "S": ("SEX_F", "SEX_M", "SEX_UNK"),
}
for _dimension, _options in {
    "PURPOSE": "FOLLOW_UP PREGNANCY POSTNATAL EDUCATION PREVENTION OTHER",
    "CONFIRMATION": "CONFIRMED PRESUMED",
    "TREATMENT": "ACT AMOXICILLIN ORS_ZINC",
    "REASON": "DANGER_SIGN MALNUTRITION NEWBORN PREGNANCY OTHER",
    "TRIMESTER": "T1 T2 T3",
    "PRODUCT": "TDR CTA SRO ZINC AMOXICILLINE",
    "MOTIF": "ACCOUCHEMENT CONSULTATION MEDICAMENTS HOSPITALISATION",
    "SOLIDARITE": "MALADIE DECES ACCOUCHEMENT",
    "THEME": "PALUDISME CPN NUTRITION PF HYGIENE",
    "CANAL": "CAUSERIE VISITE_GROUPE RADIO",
    "PUBLIC": "ADULTE JEUNE",
    "ORIENTATION": "CPN PF MALNUTRITION VACCINATION",
    "ITEM": "RECETTES DEPENSES TARIFS",
    "DOMAINE": "HYGIENE ACCUEIL GESTION SOINS",
    "AVIS": "PLAINTE SUGGESTION",
    "MENAGE": "VILLAGE HAMEAU NOMADE",
    "RAPPORT": "MENSUEL STOCK",
    "URGENCY": "URGENT ROUTINE",
    "TPI": "D0 D1 D2 D3P",
    "DECES": "MATERNAL NEONATAL CHILD",
    "SUPPLEMENT": "VITAMINE_A DEPARASITAGE",
    "METHODE": "PILULE INJECTABLE IMPLANT DIU PRESERVATIF AUTRE",
    "SERVICE": "CONSULTATION MEDICAMENTS VACCINATION ACCOUCHEMENT",
    "GROUPE": "NORMAL SHARE",
    "ORGANE": "CONSEIL_GESTION COMITE_SURVEILLANCE ASSEMBLEE_GENERALE",
    "COTE": "USAGERS PRESTATAIRES",
    "CRITERE": "ACCUEIL HYGIENE MEDICAMENTS ATTENTE COUT",
}.items():
    CATEGORIES[_dimension] = tuple(f"{_dimension}_{option}" for option in (*_options.split(), "UNK"))

#: A04 is for children under five and shares its combination with those under ten: DHIS2 wants the code of an option
#: combination to be unique on the server, so two combinations with the same codes cannot be.
#: Data element suffixes -> (categories in order, data set). ``%`` stands for numerator and denominator.
_FIRST: tuple[tuple[str, str, str], ...] = (
    ("A03", "PURPOSE", "MH_SEC"), ("A04", "A2 S", "MH_SEC"), ("B01 %", "A3 S", "MH_SEC"), ("B02 %", "A3", "MH_SEC"),
    ("B03 %", "A3 CONFIRMATION", "MH_SEC"), ("B04 %", "A1", "MH_SEC"), ("B05 %", "A2", "MH_SEC"),
    ("B07 %", "A1 S", "MH_SEC"), ("B08 %", "A1 S", "MH_SEC"), ("B09 %", "A2 S", "MH_SEC"), ("B10 %", "A2 S", "MH_SEC"),
    ("B11 %", "A1", "MH_SEC"), ("B13 %", "TREATMENT", "MH_SEC"), ("C01", "REASON S", "MH_SEC"),
    ("D07", "A4 TRIMESTER", "MH_SEC"), ("D08 %", "A4", "MH_SEC"), ("D11 %", "S", "MH_SEC"), ("D14", "S", "MH_SEC"),
    ("E02", "A1 S", "MH_SEC"), ("E05", "AN S", "MH_SEC"), ("E06", "AN S", "MH_SEC"), ("E07 %", "AN", "MH_SEC"),
    ("E09 %", "S", "MH_SEC"), ("F01 %", "PRODUCT", "MH_STOCK"), ("F02 %", "", "MH_STOCK"), ("G05", "", "MH_EPARGNE"),
    ("G07", "MOTIF", "MH_EPARGNE"), ("G07_XOF", "MOTIF", "MH_EPARGNE"), ("G11", "SOLIDARITE", "MH_EPARGNE"),
    ("G11_XOF", "SOLIDARITE", "MH_EPARGNE"), ("H01", "THEME CANAL", "MH_PROMO"), ("H02", "S PUBLIC", "MH_PROMO"),
    ("H05", "ORIENTATION S", "MH_PROMO"), ("I05 %", "", "MH_GOUV"), ("I06 %", "ITEM", "MH_GOUV"),
    ("I10 %", "DOMAINE", "MH_GOUV"), ("I11 %", "AVIS S", "MH_GOUV_M"),
)  # fmt: skip
#: Those that need registers, plans, episodes, surveys, or answers that came later.
_LATER: tuple[tuple[str, str, str], ...] = (
    ("A01 %", "MENAGE", "MH_SEC"), ("A02 %", "", "MH_SEC"), ("A05 %", "S", "MH_SEC"), ("A06 %", "", "MH_SEC"),
    ("A07 %", "S", "MH_SEC"), ("A08 %", "RAPPORT", "MH_SEC"), ("A09 %", "RAPPORT", "MH_SEC"),
    ("A10 %", "A3 S", "MH_SEC"), ("B06 %", "A2", "MH_SEC"), ("B12 %", "A1 TREATMENT", "MH_SEC"),
    ("B14 %", "TREATMENT", "MH_SEC"), ("C02 %", "URGENCY", "MH_SEC"), ("C03 %", "", "MH_SEC"), ("C04 %", "", "MH_SEC"),
    ("C05 %", "", "MH_SEC"), ("D01 %", "A4", "MH_SEC"), ("D02 %", "A4", "MH_SEC"), ("D03 %", "A4", "MH_SEC"),
    ("D04 %", "A4", "MH_SEC"), ("D05", "A4 TPI", "MH_SEC"), ("D06 %", "A4", "MH_SEC"), ("D09 %", "A4", "MH_SEC"),
    ("D10 %", "S", "MH_SEC"), ("D12 %", "S", "MH_SEC"), ("D13 %", "A4", "MH_SEC"), ("D15", "A2 DECES", "MH_SEC"),
    ("E01 %", "A1 S", "MH_SEC"), ("E03 %", "S", "MH_SEC_Q"), ("E04 %", "S", "MH_SEC"),
    ("E08", "SUPPLEMENT S", "MH_SEC"), ("E10", "A4 METHODE", "MH_SEC"), ("E11", "A4 METHODE", "MH_SEC_Y"),
    ("E12 %", "A3", "MH_SEC_Q"),
    ("F03", "PRODUCT", "MH_STOCK"), ("F04 %", "SERVICE A1", "MH_USAGERS"), ("F05 %", "", "MH_SEC_Q"),
    ("G01", "GROUPE", "MH_EPARGNE_Q"), ("G02", "S PUBLIC", "MH_EPARGNE_Q"), ("G03 %", "GROUPE", "MH_EPARGNE"),
    ("G04 %", "S", "MH_EPARGNE"), ("G06 %", "", "MH_EPARGNE_Q"), ("G08 %", "", "MH_EPARGNE_Q"),
    ("G09 %", "", "MH_EPARGNE_Q"), ("G10 %", "", "MH_EPARGNE_Q"), ("G10_XOF", "", "MH_EPARGNE_Q"),
    ("G12 %", "", "MH_EPARGNE_Q"), ("G13 %", "A4", "MH_EPARGNE_Q"), ("H03 %", "THEME", "MH_PROMO"),
    ("H04 %", "", "MH_PROMO"), ("I01 %", "DOMAINE", "MH_GOUV"), ("I02 %", "", "MH_GOUV_M"),
    ("I02_PART", "S", "MH_GOUV_M"), ("I03 %", "ORGANE", "MH_GOUV"), ("I04 %", "", "MH_GOUV_Y"),
    ("I07 %", "", "MH_GOUV_Y"),
    ("I08 %", "COTE CRITERE", "MH_GOUV_S"), ("I09 %", "", "MH_GOUV"), ("I12 %", "A3 S", "MH_GOUV_M"),
    ("I13 %", "", "MH_GOUV"),
)  # fmt: skip
#: What may be covered: the thirty-five indicators counted from single records, or all ninety-two.
COVERED = ("first", "all")


def elements(covered: str = "all") -> dict[str, tuple[tuple[str, ...], str]]:
    """Data element code -> (category codes in order, data set code), of the indicators covered."""
    if covered not in COVERED:
        raise ValueError(f"indicators: {' or '.join(COVERED)}, not {covered}")
    found = {}
    for name, categories, data_set in (*_FIRST, *(_LATER if covered == "all" else ())):
        id = name.removesuffix(" %")
        for suffix in ("_NUM", "_DEN") if name.endswith("%") else ("",):
            found[f"MH_{id}{suffix}"] = (tuple(categories.split()), data_set)
    return found


#: Of all indicators.
ELEMENTS = elements("all")
#: Data set code -> (period type, org unit level, reporter group whose reports complete it).
DATA_SETS: dict[str, tuple[str, str, str | None]] = {
    "MH_SEC": ("Monthly", "site", "asc"),
    "MH_STOCK": ("Monthly", "cscom", None),
    "MH_EPARGNE": ("Monthly", "cscom", "groupes"),
    "MH_PROMO": ("Monthly", "cscom", None),
    "MH_GOUV_M": ("Monthly", "cscom", None),
    "MH_GOUV": ("Quarterly", "cscom", None),
    "MH_SEC_Q": ("Quarterly", "site", None),
    "MH_SEC_Y": ("Yearly", "site", None),
    "MH_USAGERS": ("Monthly", "cscom", None),
    "MH_EPARGNE_Q": ("Quarterly", "cscom", None),
    "MH_GOUV_S": ("SixMonthly", "cscom", None),
    "MH_GOUV_Y": ("Yearly", "cscom", None),
}
#: Rows of a file of own org units that are read at most.
MOST_OWN = 10_000
#: Figures of half a year and of a year are sent while it runs: periods that DHIS2 opens in advance.
OPEN_AHEAD = {"SixMonthly": 1, "Yearly": 1}


def uid11(*parts: str) -> str:
    """A DHIS2 UID (a letter and ten letters or digits) that depends on its parts alone."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    n = int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest()[:10], "big")
    text = alphabet[n % 52]
    for _ in range(10):
        n //= 62
        text += alphabet[n % 62]
    return text


def org_unit_rows(people: People) -> list[Json]:
    """Rows of ``org_units.csv``: which place of which source is which DHIS2 org unit, from when on."""
    always = "2015-01-01"

    def row(source: str, place: str, org_unit: str, level: str, parent: str, name: str) -> Json:
        return {
            "source": source, "place": place, "org_unit": org_unit, "level": level, "parent": parent, "name": name,
            "valid_from": always, "valid_to": "",
        }  # fmt: skip

    rows = [
        row("cht", "country", "ML", "country", "", "Mali"),
        row("cht", "region-1", "ML-KKO", "region", "ML", "Koulikoro"),
        row("cht", "district-1", "ML-KKO-D1", "district", "ML-KKO", "District de Koulébala"),
    ]
    for area, code, name in people.areas:
        for source in ("cht", "kobo", "outreach"):
            rows.append(row(source, area, code, "cscom", "ML-KKO-D1", f"CSCom de {name}"))
    for site in people.sites:
        rows.append(row("cht", site.id, site.code, "site", site.code.rsplit("-", 1)[0], f"Site {site.name}"))
    for _, code, name in people.areas:
        for n in range(3):
            group = f"GE-{code.rsplit('-', 1)[1]}-{n + 1:02d}"
            rows.append(row("odk", group, code, "cscom", "ML-KKO-D1", f"CSCom de {name}"))
    return rows


def deployment_rows(people: People, mover: str, moves_to: Site | None) -> list[Json]:
    """Rows of ``deployments.csv``: who is expected to report where. ``valid_to`` is the last day."""
    since = "2025-01-01"
    rows = []
    for worker in people.workers:
        until = ""
        if worker.id == mover and moves_to is not None:
            until = (people.calendar.first(1) - timedelta(days=1)).isoformat()
        rows.append(_deployment(worker.id, "worker", "asc", worker.site.code, since, until))
        if until and moves_to is not None:
            start = people.calendar.first(1).isoformat()
            rows.append(_deployment(worker.id, "worker", "asc", moves_to.code, start, ""))
    for _, code, _ in people.areas:
        for n in range(3):
            group = f"GE-{code.rsplit('-', 1)[1]}-{n + 1:02d}"
            rows.append(_deployment(group, "place", "groupes", code, since, ""))
    return rows


def _deployment(reporter: str, kind: str, group: str, org_unit: str, valid_from: str, valid_to: str) -> Json:
    return {
        "reporter": reporter, "kind": kind, "group": group, "org_unit": org_unit, "valid_from": valid_from,
        "valid_to": valid_to,
    }  # fmt: skip


def _org_units(people: People) -> list[Json]:
    units, seen = [], set()
    for row in org_unit_rows(people):
        if row["org_unit"] not in seen:
            seen.add(row["org_unit"])
            units.append(
                {
                    "code": row["org_unit"],
                    "id": uid11("orgUnit", row["org_unit"]),
                    "name": row["name"],
                    "parent": row["parent"] or None,
                    "opening": "2015-01-01",
                    "closed": None,
                }
            )
    return units


def own_org_units(text: str, there: Iterable[Json]) -> list[Json]:
    """The org units of a pack's ``org_units.csv`` that are not among ``there``, in the shape ``DHIS2Sim`` takes.

    A unit lies below its ``parent`` where the file or ``there`` has that, else below the district. Raises ValueError
    for a text without a column ``org_unit`` and for more than ``MOST_OWN`` rows.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if "org_unit" not in (reader.fieldnames or ()):
        raise ValueError("org units: the first line names no column org_unit; give the pack's org_units.csv")
    rows: dict[str, dict[str, str]] = {}
    for number, row in enumerate(reader):
        if number >= MOST_OWN:
            raise ValueError(f"org units: more than {MOST_OWN} rows; give fewer")
        if code := (row["org_unit"] or "").strip():
            rows.setdefault(code, row)
    known = {unit["code"] for unit in there}

    def above(code: str) -> str:
        parent = (rows[code].get("parent") or "").strip()
        return parent if parent in rows or parent in known else DISTRICT

    def parent_of(code: str) -> str:
        at, seen = code, {code}
        while at not in known:
            at = above(at)
            if at in seen:  # the file says that a unit lies below itself
                return DISTRICT
            seen.add(at)
        return above(code)

    return [
        {
            "code": code, "id": uid11("orgUnit", code), "name": (row.get("name") or "").strip() or code,
            "parent": parent_of(code), "opening": "2015-01-01", "closed": None,
        }
        for code, row in rows.items() if code not in known
    ]  # fmt: skip


def _combos(covered: str) -> tuple[list[Json], list[Json]]:
    combos: dict[str, Json] = {}
    options: list[Json] = []
    for categories, _ in elements(covered).values():
        code = "-".join(categories)
        if not code or code in combos:
            continue
        lists = [list(CATEGORIES[c]) for c in categories]
        combos[code] = {
            "code": code, "id": uid11("combo", code), "name": " x ".join(categories), "options": lists,
            "categories": list(categories),
        }  # fmt: skip
        for picked in product(*lists):
            name = "-".join(picked)
            options.append(
                {
                    "code": name,
                    "id": uid11("coc", code, name),
                    "name": ", ".join(picked),
                    "categoryCombo": code,
                    "options": list(picked),
                }
            )
    return list(combos.values()), options


def dhis2_metadata(people: People, today: date, covered: str = "all") -> Json:
    """Metadata for ``DHIS2Sim``: the pack's data sets and one that is none of its business."""
    combos, options = _combos(covered)
    of_ours = elements(covered)
    made = [
        {
            "code": code, "id": uid11("element", code), "name": code.replace("_", " "),
            "valueType": "INTEGER_ZERO_OR_POSITIVE", "zeroIsSignificant": False,
            "categoryCombo": "-".join(categories) or "default",
        }
        for code, (categories, _) in of_ours.items()
    ]  # fmt: skip
    made.append(
        {
            "code": "SNIS_CONSULT",
            "id": uid11("element", "SNIS_CONSULT"),
            "name": "SNIS consultations",
            "valueType": "INTEGER_ZERO_OR_POSITIVE",
            "zeroIsSignificant": False,
            "categoryCombo": "default",
        }
    )
    units = {"site": [s.code for s in people.sites], "cscom": [code for _, code, _ in people.areas]}
    sets = [
        {
            "code": code, "id": uid11("dataSet", code), "name": code.replace("_", " "), "periodType": period,
            "elements": [e for e, (_, owner) in of_ours.items() if owner == code], "orgUnits": units[level],
            "openFuturePeriods": OPEN_AHEAD.get(period, 0), "expiryDays": 0,
        }
        for code, (period, level, _) in DATA_SETS.items() if code in {owner for _, owner in of_ours.values()}
    ]  # fmt: skip
    sets.append(
        {
            "code": "SNIS",
            "id": uid11("dataSet", "SNIS"),
            "name": "SNIS mensuel",
            "periodType": "Monthly",
            "elements": ["SNIS_CONSULT"],
            "orgUnits": units["cscom"],
            "openFuturePeriods": 0,
            "expiryDays": 0,
        }
    )
    return {
        "today": today.isoformat(), "users": _users(), "orgUnits": _org_units(people), "categoryCombos": combos,
        "categoryOptionCombos": options, "dataElements": made, "dataSets": sets,
    }  # fmt: skip


def _users() -> Sequence[Json]:
    return [
        {
            "username": USER, "password": PASSWORD, "token": TOKEN, "id": uid11("user", USER),
            "orgUnits": [DISTRICT], "authorities": ["F_DATAVALUE_ADD"],
        },
        {
            "username": ADMIN, "password": ADMIN_PASSWORD, "id": uid11("user", ADMIN), "orgUnits": ["ML"],
            "authorities": ["ALL"],
        },
    ]  # fmt: skip
