"""The later figures of savings groups, promotion, governance and the CSCom.

Rules: docs/indicator-definitions.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from connector.sandbox.oracle_count import Count, Patient, a3_of, a4_of, earlier, later, period_of, sex_code
from connector.sandbox.oracle_records import Rec, Truth

GROUPS = {"normal": "GROUPE_NORMAL", "SHARE": "GROUPE_SHARE"}
BODIES = {
    "conseil_gestion": "ORGANE_CONSEIL_GESTION", "comite_surveillance": "ORGANE_COMITE_SURVEILLANCE",
    "assemblee_generale": "ORGANE_ASSEMBLEE_GENERALE",
}  # fmt: skip
THEMES = ("paludisme", "cpn", "nutrition", "pf", "hygiene")
SERVICES = ("consultation", "medicaments", "vaccination", "accouchement")
SIDES = ("usagers", "prestataires")
CRITERIA = ("accueil", "hygiene", "medicaments", "attente", "cout")


def count_bodies(count: Count, truth: Truth) -> None:
    for rec in truth.records:
        if rec.kind == "savings_meeting":
            _meeting(count, rec)
        elif rec.kind == "outreach_session":
            people = sum(n or 0 for _, _, n in rec.a["participants"])
            count.add(rec, "MH_H03_NUM", _option("THEME", rec.a["theme"], THEMES))
            count.add(rec, "MH_H04_NUM", n=people)
            count.add(rec, "MH_H04_DEN")
        elif rec.kind == "governance_meeting":
            if rec.a.get("minutes") is True:
                count.add(rec, "MH_I03_NUM", BODIES.get(rec.a.get("meeting_type", ""), "ORGANE_UNK"))
            if rec.a.get("meeting_type") == "assemblee_generale":
                count.see(rec, rec.place, "MH_I04_NUM")
        elif rec.kind == "qi_action" and "planned" in rec.a:
            due = rec.a["planned"]
            in_time = "done" in rec.a and rec.a["done"] <= due
            area = _option("DOMAINE", rec.a.get("domain"), ("hygiene", "accueil", "gestion", "soins"))
            count.ratio(rec, "I01", in_time, area, period=period_of(date.fromisoformat(due), "Quarterly"))
        elif rec.kind == "qi_meeting":
            count.add(rec, "MH_I02_NUM")
            count.add(rec, "MH_I02_PART", "SEX_F", n=rec.a.get("women", 0))
            count.add(rec, "MH_I02_PART", "SEX_M", n=rec.a.get("men", 0))
        elif rec.kind == "scorecard":
            _scorecard(count, rec)
        elif rec.kind == "user_survey" and "paid" in rec.a:
            service = _option("SERVICE", rec.a.get("service"), SERVICES)
            count.ratio(rec, "F04", rec.a["paid"], service, Patient(rec, None).a1())
        elif rec.kind == "facility_report" and "costs_xof" in rec.a:
            count.add(rec, "MH_I13_NUM", n=rec.a.get("income_xof", 0))
            count.add(rec, "MH_I13_DEN", n=rec.a["costs_xof"])
    _of_the_quarter(count, truth)
    _of_the_month(count, truth)
    _plans(count, truth)


def _option(category: str, said: str | None, known: tuple[str, ...]) -> str:
    return f"{category}_{said.upper()}" if said in known else f"{category}_UNK"


def _meeting(count: Count, rec: Rec) -> None:
    kind = GROUPS.get(rec.a.get("group_type", ""), "GROUPE_UNK")
    count.once(rec, rec.place, "MH_G01", kind)
    count.add(rec, "MH_G03_NUM", kind)
    for sex, there, enrolled in rec.a["attendance"]:
        count.add(rec, "MH_G04_NUM", sex_code(sex), n=there)
        count.add(rec, "MH_G04_DEN", sex_code(sex), n=enrolled)
    for loan in rec.a["loans"]:
        if loan["amount"] is not None:
            count.add(rec, "MH_G08_DEN", n=loan["amount"])
            count.add(rec, "MH_G10_DEN", n=loan["amount"])
            if loan["objet"] == "sante":
                count.add(rec, "MH_G08_NUM", n=loan["amount"])
    count.add(rec, "MH_G10_NUM", n=rec.a.get("written_off_xof", 0))
    count.add(rec, "MH_G12_NUM", n=rec.a.get("left", 0))
    if rec.a.get("group_type") == "SHARE":
        for age, contacts, place in rec.a["births"]:
            both = contacts is not None and contacts >= 4 and place == "structure"
            count.ratio(rec, "G13", both, a4_of(age))


def _scorecard(count: Count, rec: Rec) -> None:
    count.add(rec, "MH_I07_NUM")
    for side, criterion, points in rec.a["criteria"]:
        if points is not None:
            options = (_option("COTE", side, SIDES), _option("CRITERE", criterion, CRITERIA))
            count.add(rec, "MH_I08_NUM", *options, n=points)
            count.add(rec, "MH_I08_DEN", *options)
    if "agreed" in rec.a:
        count.add(rec, "MH_I09_NUM", n=rec.a.get("achieved", 0))
        count.add(rec, "MH_I09_DEN", n=rec.a["agreed"])


# ---------------------------------------------------------------- one record of several


def chosen(
    count: Count, truth: Truth, kind: str, period_type: str, fits: Callable[[Rec], bool], *, first: bool = False
) -> list[Rec]:
    """Of each place and period the latest record (or the first one) of this kind that fits."""
    found: dict[tuple[str, str, str], list[Rec]] = {}
    for rec in truth.records:
        if rec.kind == kind and count.unit(rec.source, rec.place, "cscom") is not None and fits(rec):
            found.setdefault((rec.source, rec.place, period_of(rec.day, period_type)), []).append(rec)
    if first:
        return [min(those, key=earlier) for those in found.values()]
    return [max(those, key=later) for those in found.values()]


def _of_the_quarter(count: Count, truth: Truth) -> None:
    def latest(fits: Callable[[Rec], bool]) -> list[Rec]:
        return chosen(count, truth, "savings_meeting", "Quarterly", fits)

    for rec in latest(lambda r: any(n is not None for _, _, n in r.a["members_by"])):
        for sex, public, n in rec.a["members_by"]:
            if n is not None:
                count.add(rec, "MH_G02", sex_code(sex), f"PUBLIC_{public}", n=n)
    for rec in latest(lambda r: "cumulative_xof" in r.a and "members" in r.a):
        count.add(rec, "MH_G06_NUM", n=rec.a["cumulative_xof"])
        count.add(rec, "MH_G06_DEN", n=rec.a["members"])
    for rec in latest(lambda r: "borrowers" in r.a and "members" in r.a):
        count.add(rec, "MH_G09_NUM", n=rec.a["borrowers"])
        count.add(rec, "MH_G09_DEN", n=rec.a["members"])
    for rec in latest(lambda r: "outstanding_xof" in r.a):
        count.add(rec, "MH_G10_XOF", n=rec.a["outstanding_xof"])
    for rec in chosen(count, truth, "savings_meeting", "Quarterly", lambda r: "members" in r.a, first=True):
        count.add(rec, "MH_G12_DEN", n=rec.a["members"])


def _of_the_month(count: Count, truth: Truth) -> None:
    for rec in chosen(count, truth, "governance_meeting", "Monthly", lambda r: bool(r.a["ruptures"])):
        for product, days in rec.a["ruptures"]:
            count.add(rec, "MH_F03", "PRODUCT_" + product.upper(), n=days)
    for rec in chosen(count, truth, "facility_report", "Monthly", lambda r: True):
        for age, sex, new, people in rec.a["consultations"]:
            count.add(rec, "MH_I12_NUM", a3_of(age), sex_code(sex), n=12 * (new or 0))
            count.add(rec, "MH_I12_DEN", a3_of(age), sex_code(sex), n=people or 0)


# ---------------------------------------------------------------- plans


def _plans(count: Count, truth: Truth) -> None:
    """A plan counts in the period it names; of each place and period only the latest plan holds."""
    latest: dict[tuple[str, str, str], Rec] = {}
    for rec in truth.records:
        if rec.kind == "plan":
            key = (rec.source, rec.place, rec.a["period"])
            if key not in latest or later(rec) > later(latest[key]):
                latest[key] = rec
    for rec in latest.values():
        period = rec.a["period"]
        if "meetings" in rec.a:
            kind = GROUPS.get(rec.a.get("group_type") or "", "GROUPE_UNK")
            count.add(rec, "MH_G03_DEN", kind, n=rec.a["meetings"], period=period)
        for what, detail, n in rec.a.get("planned", ()):
            if n is None:
                continue
            if what == "causeries":
                count.add(rec, "MH_H03_DEN", _option("THEME", detail, THEMES), n=n, period=period)
            elif what == "reunion_equipe_qualite":
                count.add(rec, "MH_I02_DEN", n=n, period=period)
            elif what == "reunion_asaco":
                count.add(rec, "MH_I03_DEN", BODIES.get(detail or "", "ORGANE_UNK"), n=n, period=period)
            elif what == "bulletin":
                count.add(rec, "MH_I07_DEN", n=n, period=period)
