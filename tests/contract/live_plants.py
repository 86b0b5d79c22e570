"""One trouble at the servers for every code of ``relais check --live``: how to make it in a simulator, where in the pack it
is reported, and how its page shows it. ``metadata`` and ``openmrs`` are what the simulators and the pack are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connector.adapters.openmrs_probe import ADVISED, APPOINTMENTS, NEEDED

Json = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """``spoil(metadata, openmrs)`` makes the trouble. ``stands``: file and a text of the shipped pack; ``«`` stands before
    the letter that is pointed at."""

    code: str
    server: str  #: dhis2 | openmrs
    wrong: str
    right: str
    stands: tuple[str, str]
    spoil: Callable[[Json, Json], Any]


def _set(metadata: Json, code: str) -> Json:
    return next(one for one in metadata["dataSets"] if one["code"] == code)


def _element(metadata: Json, code: str) -> Json:
    return next(one for one in metadata["dataElements"] if one["code"] == code)


def _gone(metadata: Json, code: str) -> None:
    metadata["dataElements"] = [one for one in metadata["dataElements"] if one["code"] != code]
    for one in metadata["dataSets"]:
        one["elements"] = [element for element in one["elements"] if element != code]


def _no_unit(metadata: Json, code: str) -> None:
    metadata["orgUnits"] = [one for one in metadata["orgUnits"] if one["code"] != code]
    for one in metadata["dataSets"]:
        one["orgUnits"] = [unit for unit in one["orgUnits"] if unit != code]


def _unit(metadata: Json, code: str) -> Json:
    return next(one for one in metadata["orgUnits"] if one["code"] == code)


def _window(period: str, closing: str = "2026-10-15") -> Json:
    return {"period": period, "opening": "2026-10-01", "closing": closing}


def _concept(metadata: Json, uuid: str) -> Json:
    return next(one for one in metadata["concepts"] if one["uuid"] == uuid)


SEC, UNITS, CLINICS, CONNECTOR = "indicators/sec-core.yaml", "org_units.csv", "openmrs.yaml", "connector.yaml"
_NUMBER, _ROLE = "3c879b04-bdee-5673-b4ea-cf1f941102f0", "System Developer"

LIVE: tuple[Live, ...] = (
    Live("dhis2.version", "dhis2", "DHIS2 2.37", "DHIS2 2.42", (CONNECTOR, "targets:\n  «dhis2:"),
         lambda data, _: data.update(version="2.37.9")),
    Live("dhis2.version_from_source", "dhis2", "DHIS2 2.41.9", "DHIS2 2.42 or 2.43", (CONNECTOR, "targets:\n  «dhis2:"),
         lambda data, _: data.update(version="2.41.9")),
    Live("dhis2.calendar", "dhis2", "calendar: ethiopian", "calendar: iso8601", (CONNECTOR, "targets:\n  «dhis2:"),
         lambda data, _: data.update(calendar="ethiopian")),
    Live("dhis2.credentials_no_authority", "dhis2", "our user has no role with F_DATAVALUE_ADD", "it has one",
         (CONNECTOR, "targets:\n  «dhis2:"), lambda data, _: data["users"][0].update(authorities=[])),
    Live("dhis2.E7617", "dhis2", "our user enters data for ML-KKO-D1-A1", "our user enters data for ML-KKO-D1",
         (UNITS, "cht,site-5,«ML-KKO-D1-A2-S1"), lambda data, _: data["users"][0].update(orgUnits=["ML-KKO-D1-A1"])),
    Live("dhis2.data_set_missing", "dhis2", "DHIS2 has no data set MH_STOCK", "DHIS2 has the data set MH_STOCK",
         ("dhis2.yaml", "- id: «MH_STOCK"),
         lambda data, _: data.update(dataSets=[one for one in data["dataSets"] if one["code"] != "MH_STOCK"])),
    Live("dhis2.E7601", "dhis2", "MH_SEC is shared with our user to view", "MH_SEC is shared with data write access",
         ("dhis2.yaml", "- id: «MH_SEC"), lambda data, _: _set(data, "MH_SEC").update(write=False)),
    Live("dhis2.period_type", "dhis2", "MH_GOUV is Monthly in DHIS2", "MH_GOUV is Quarterly in DHIS2",
         ("dhis2.yaml", "- id: «MH_GOUV\n"), lambda data, _: _set(data, "MH_GOUV").update(periodType="Monthly")),
    Live("dhis2.period_expired", "dhis2", "MH_SEC: three expiry days, and the fourth has begun", "no expiry days",
         ("dhis2.yaml", "- id: «MH_SEC"), lambda data, _: _set(data, "MH_SEC").update(expiryDays=3)),
    Live("dhis2.period_opens_late", "dhis2", "MH_GOUV_S: no open future periods, and a half-year is long",
         "MH_GOUV_S: one open future period",
         ("dhis2.yaml", "- id: «MH_GOUV_S\n"), lambda data, _: _set(data, "MH_GOUV_S").update(openFuturePeriods=0)),
    Live("dhis2.input_window_closed", "dhis2", "MH_SEC: the data input period 202609 closed on 2026-10-05",
         "it closes on 2026-10-15", ("dhis2.yaml", "- id: «MH_SEC"),
         lambda data, _: _set(data, "MH_SEC").update(inputPeriods=[_window("202609", "2026-10-05"), _window("202610")])),
    Live("dhis2.input_window_inverted", "dhis2", "DHIS2 2.43.1, and the data input period 202609 of MH_SEC is open",
         "a version after 2.43.1, or no data input periods", ("dhis2.yaml", "- id: «MH_SEC"),
         lambda data, _: (data.update(version="2.43.1"), _set(data, "MH_SEC").update(inputPeriods=[_window("202609")]))),
    Live("dhis2.period_approved", "dhis2", "MH_SEC of 202609 is approved for ML-KKO-D1-A1-S2", "it is not approved yet",
         ("dhis2.yaml", "- id: «MH_SEC"),
         lambda data, _: _set(data, "MH_SEC").update(workflow="WfMonthly01", approved=[["ML-KKO-D1-A1-S2", "202609"]])),
    Live("dhis2.token_expires", "dhis2", "the token ends in a week", "the token lives for a year",
         (CONNECTOR, "targets:\n  «dhis2:"), lambda data, _: data["users"][0].update(expires=1791878400000)),
    Live("dhis2.clock", "dhis2", "the clock of DHIS2 is two minutes slow", "both machines keep their time by NTP",
         (CONNECTOR, "targets:\n  «dhis2:"), lambda data, _: data.update(slow=True)),
    Live("dhis2.element_missing", "dhis2", "DHIS2 has no data element MH_A03", "DHIS2 has the data element MH_A03",
         (SEC, "- id: «A03"), lambda data, _: _gone(data, "MH_A03")),
    Live("dhis2.element_not_in_set", "dhis2", "MH_A03 is not in MH_SEC", "MH_A03 is in MH_SEC", (SEC, "- id: «A03"),
         lambda data, _: _set(data, "MH_SEC")["elements"].remove("MH_A03")),
    Live("dhis2.combo_missing", "dhis2", "MH_A03 has the category combination default",
         "MH_A03 has the category combination PURPOSE", (SEC, "by: «[PURPOSE]"),
         lambda data, _: _element(data, "MH_A03").update(categoryCombo="default")),
    Live("dhis2.value_type", "dhis2", "MH_A03 is of type TEXT", "MH_A03 is of type INTEGER_ZERO_OR_POSITIVE",
         (SEC, "- id: «A03"), lambda data, _: _element(data, "MH_A03").update(valueType="TEXT")),
    Live("dhis2.zero_not_significant", "dhis2", "zeroIsSignificant: false", "zeroIsSignificant: true", (SEC, "- id: «A03"),
         lambda data, _: _element(data, "MH_A03").update(zeroIsSignificant=False)),
    Live("dhis2.org_unit_missing", "dhis2", "DHIS2 has no org unit ML-KKO-D1-A1-S1", "DHIS2 has that org unit",
         (UNITS, "cht,site-1,«ML-KKO-D1-A1-S1"), lambda data, _: _no_unit(data, "ML-KKO-D1-A1-S1")),
    Live("dhis2.org_unit_not_assigned", "dhis2", "ML-KKO-D1-A1-S1 is not assigned to MH_SEC", "it is assigned",
         (UNITS, "cht,site-1,«ML-KKO-D1-A1-S1"),
         lambda data, _: _set(data, "MH_SEC")["orgUnits"].remove("ML-KKO-D1-A1-S1")),
    Live("dhis2.org_unit_closed", "dhis2", "ML-KKO-D1-A1-S1 closed on 2026-06-30", "it is open",
         (UNITS, "cht,site-1,«ML-KKO-D1-A1-S1"), lambda data, _: _unit(data, "ML-KKO-D1-A1-S1").update(closed="2026-06-30")),
    Live("dhis2.org_unit_not_open", "dhis2", "ML-KKO-D1-A1-S1 opens on 2026-10-20", "it opened before it worked",
         (UNITS, "cht,site-1,«ML-KKO-D1-A1-S1"),
         lambda data, _: _unit(data, "ML-KKO-D1-A1-S1").update(opening="2026-10-20")),
    Live("openmrs.module_missing", "openmrs", "the module appointments is not installed", "it is started",
         (CONNECTOR, "  «openmrs:                   # the clinics"), lambda data, _: data.update(profile="platform2")),
    Live("openmrs.may_not_write", "openmrs", "our account has no privilege Add Encounters", "it has it",
         (CONNECTOR, "  «openmrs:                   # the clinics"),
         lambda data, _: data["users"][0].update(privileges=["Get Patients", "Add Patients", "Get Encounters"])),
    Live("openmrs.privilege_advised", "openmrs", "our account has no privilege Get Diagnoses", "it has it",
         (CONNECTOR, "  «openmrs:                   # the clinics"),
         lambda data, _: data["users"][0].update(privileges=[
             one for one in (*(names[0] for names in (*NEEDED, *APPOINTMENTS)), *ADVISED) if one != "Get Diagnoses"])),
    Live("openmrs.metadata_missing", "openmrs", "encounter_type: a uuid the clinic does not have",
         "encounter_type: 87dcc3ac-1496-5c49-bac5-2b1cd8ffdfa4", (CLINICS, "encounter_type: «87dcc3ac"),
         lambda _, openmrs: openmrs.update(encounter_type="00000000-0000-0000-0000-000000000000")),
    Live("openmrs.metadata_retired", "openmrs", "the encounter type was retired at the clinic", "it is in use",
         (CLINICS, "encounter_type: «87dcc3ac"), lambda data, _: data["encounter_types"][0].update(retired=True)),
    Live("openmrs.datatype", "openmrs", "the concept of the referral number is Numeric", "it is Text",
         (CLINICS, "number: «3c879b04"), lambda data, _: _concept(data, _NUMBER).update(datatype="Numeric")),
    Live("openmrs.identifier_format", "openmrs", "the identifier type takes MR-[0-9]{6} only", "it has no format",
         (CLINICS, "chw: «01ac1acd"), lambda data, _: data["identifier_types"][1].update(format="MR-[0-9]{6}")),
    Live("openmrs.identifier_source", "openmrs", "the source of numbers is a pool", "it is a sequential generator",
         (CLINICS, "idgen_source: «f04c899a"), lambda data, _: data["idgen"][0].update(kind="IdentifierPool")),
    Live("openmrs.clock", "openmrs", "the clinic's clock is two minutes slow", "both machines keep their time by NTP",
         (CONNECTOR, "  «openmrs:                   # the clinics"), lambda data, _: data.update(slow=True)),
)  # fmt: skip


def _stage(program: Json) -> Json:
    found: Json = program["stages"][0]
    return found


#: Troubles with a tracker. ``spoil(program, _)``; ``stands``: a place in ``tests/tracker_pack.py``, or in a file of
#: the shipped pack.
TRACKER: tuple[Live, ...] = (
    Live("dhis2.program_missing", "tracker", "DHIS2 has no program TR_ENFANTS", "DHIS2 has the program TR_ENFANTS",
         ("tracker.yaml", "program: «TR_ENFANTS"), lambda program, _: program.update(code="TR_OTHER")),
    Live("dhis2.program_no_person", "tracker", "TR_ENFANTS is an event program", "TR_ENFANTS registers people",
         ("tracker.yaml", "program: «TR_ENFANTS"), lambda program, _: program.update(entityType=None)),
    Live("dhis2.program_no_write", "tracker", "TR_ENFANTS is shared with our user to view",
         "TR_ENFANTS is shared with data write access",
         ("tracker.yaml", "program: «TR_ENFANTS"), lambda program, _: program.update(write=False)),
    Live("dhis2.program_unit_not_assigned", "tracker", "ML-KKO-D1-A1-S1 is not assigned to TR_ENFANTS", "it is assigned",
         (UNITS, "cht,site-1,«ML-KKO-D1-A1-S1"), lambda program, _: program["orgUnits"].remove("ML-KKO-D1-A1-S1")),
    Live("dhis2.stage_missing", "tracker", "TR_ENFANTS has no stage TR_VISITE", "TR_ENFANTS has the stage TR_VISITE",
         ("tracker.yaml", "- id: «TR_VISITE"), lambda program, _: _stage(program).update(code="TR_OTHER")),
    Live("dhis2.stage_once", "tracker", "the stage TR_VISITE is not repeatable", "it is repeatable",
         ("tracker.yaml", "- id: «TR_VISITE"), lambda program, _: _stage(program).update(repeatable=False)),
    Live("dhis2.attribute_missing", "tracker", "TR_NOM is no attribute of TR_ENFANTS", "TR_NOM is one of its attributes",
         ("tracker.yaml", "TR_NOM: «name"),
         lambda program, _: program.update(attributes=[a for a in program["attributes"] if a["code"] != "TR_NOM"])),
    Live("dhis2.stage_element_missing", "tracker", "TR_PB is no data element of TR_VISITE",
         "TR_PB is one of its data elements", ("tracker.yaml", "TR_PB: «muac_mm"),
         lambda program, _: _stage(program).update(elements=[e for e in _stage(program)["elements"] if e["code"] != "TR_PB"])),
    Live("dhis2.field_needed", "tracker", "the attribute TR_TEL is mandatory in DHIS2", "TR_TEL: phone",
         ("tracker.yaml", "attributes:                  # of the person: code in DHIS2 -> id, or a fact of the form that registers her\n  «TR_ID"),
         lambda program, _: program["attributes"].append({"code": "TR_TEL", "mandatory": True})),
)  # fmt: skip
