"""Figures as files: ADX and MeasureReport say what DHIS2 is sent, and nothing that it is not sent.

The files are read back by code of this module alone: by the rules of ADX as DHIS2 reads it (reference, recordings 186
and 187 of DHIS2 2.42 and 2.43), and by two readers of FHIR. The figures come from the sandbox's own count, and from
what the simulated DHIS2 holds after a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from connector import cli
from connector.cli import app as command_line
from connector.mappings import adx, r4, second_opinion
from connector.mappings.pack import DeploymentRow, OrgUnitRow, Pack
from connector.sandbox import metadata, oracle, oracle_fhir
from connector.sandbox.district import District
from tests.engine.house import UNIT, Change, Make, Road, a_few, only_here, person, shipped, target, visit
from tests.engine.test_release import BLOCK, approve, asking

Key = tuple[str, str, str, str]  #: data element, org unit, DHIS2 period, combo
A04 = ("MH_A04", UNIT, "202608", "A2_Y1_4-SEX_F")
NS = "{urn:ihe:qrph:adx:2015}"
Export = Callable[..., Any]


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Export:
    """``export(road, "adx", folder, "--period", "202608")``: the command over the house of this road."""

    def give(road: Road, *arguments: object, code: int = 0) -> Any:
        class Standing:
            def __getattr__(self, name: str) -> Any:
                return getattr(road.house, name)

            def close(self) -> None:
                pass

        monkeypatch.setattr("connector.bootstrap.build", lambda *a, **k: Standing())
        monkeypatch.setattr(command_line.sys, "argv", ["relais", "export", *map(str, arguments), "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        assert stop.value.code == code, printed
        return orjson.loads(printed.out)

    return give


# ---------------------------------------------------------------- ADX as DHIS2 reads it


def periods_named(text: str) -> str:
    """DHIS2's name of a period that is written as its first day and how long it is."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)/P(\d+)([DMY])", text)
    assert found, text
    year, month, day = (int(found[n]) for n in (1, 2, 3))
    first, length = date(year, month, day), found[4] + found[5]
    if length == "7D":
        assert first.weekday() == 0
        iso = first.isocalendar()
        return f"{iso.year}W{iso.week}"
    assert day == 1 or length == "1D"
    assert length in ("1D", "1Y") or (month - 1) % int(found[4]) == 0, "periods of several months begin at fixed ones"
    return {
        "1D": f"{first:%Y%m%d}", "1M": f"{first:%Y%m}", "2M": f"{year}{(month + 1) // 2:02}B",
        "3M": f"{year}Q{(month + 2) // 3}", "6M": f"{year}S{1 if month == 1 else 2}", "1Y": str(year),
    }[length]  # fmt: skip


def read_adx(file: Path) -> dict[Key, str]:
    """The figures of a file, by the schema of ADX and what DHIS2 asks for. Nothing of the connector is used."""
    root = ElementTree.parse(file).getroot()
    assert root.tag == f"{NS}adx" and set(root.attrib) == {"exported"}
    assert datetime.fromisoformat(root.attrib["exported"]).tzinfo is not None
    found: dict[Key, str] = {}
    sets, groups = set(), set()
    options = {code: category for category, codes in metadata.CATEGORIES.items() for code in codes}
    for group in root:
        assert group.tag == f"{NS}group" and set(group.attrib) == {"dataSet", "orgUnit", "period"}
        data_set, unit = group.attrib["dataSet"], group.attrib["orgUnit"]
        period = periods_named(group.attrib["period"])
        sets.add(data_set)
        assert (unit, period) not in groups and len(group), "a block comes once and says something"
        groups.add((unit, period))
        for value in group:
            assert value.tag == f"{NS}dataValue" and not len(value) and not value.text
            split = {k: v for k, v in value.attrib.items() if k not in ("dataElement", "value")}
            element = value.attrib["dataElement"]
            assert re.fullmatch(r"-?\d+(\.\d+)?", value.attrib["value"]), "xs:decimal"
            assert metadata.ELEMENTS[element][1] == data_set
            assert list(split) == list(metadata.ELEMENTS[element][0]), "every category of the element, and no other"
            assert [options[option] for option in split.values()] == list(split), "each option is one of its category"
            key = (element, unit, period, "-".join(split.values()) or "default")
            assert key not in found
            found[key] = value.attrib["value"]
    assert len(sets) == 1, "DHIS2 2.43 takes one data set per request"
    return found


def just_dhis2(pack: Pack) -> Pack:
    """Nothing else is delivered to, and only the workers of one site are counted."""
    targets = {name: one for name, one in pack.targets.items() if one.kind == "dhis2"}
    return replace(only_here(pack), version=f"{pack.version}+", targets=targets)


def just(change: Change) -> Change:
    return lambda pack: change(just_dhis2(pack))


@pytest.fixture
def sent(make_road: Make) -> Road:
    """A few records, and their figures are at DHIS2."""
    road = make_road(change=just_dhis2)
    road.settle()
    return road


def read_all(folder: Path) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for file in sorted(folder.iterdir()):
        more = read_adx(file)
        assert not found.keys() & more.keys()
        found |= more
    return found


def read_reports(folder: Path) -> Iterator[dict[str, Any]]:
    for line in (folder / "MeasureReport.ndjson").read_bytes().splitlines():
        resource = orjson.loads(line)
        assert r4.problems(resource) == [] and second_opinion.problems(resource) == []
        yield resource


def totals(folder: Path) -> dict[str, dict[str, float]]:
    """``data set/unit/period`` -> the sums of each indicator's parts."""
    return {one["identifier"][0]["value"]: oracle_fhir.totals(one) for one in read_reports(folder)}


def no_noughts(values: dict[Key, str]) -> dict[Key, str]:
    return {key: value for key, value in values.items() if value != "0"}


# ---------------------------------------------------------------- what is in the files


@pytest.mark.slow
def test_the_figures_of_a_district_are_those_counted_by_hand(make_road: Make, export: Export, tmp_path: Path) -> None:
    district = District(seed=7, months=1, sites=3, chws=6)

    def of_district(pack: Pack) -> Pack:
        targets = {name: one for name, one in pack.targets.items() if one.kind == "dhis2"}
        deployments = [
            DeploymentRow(
                row["reporter"], row["kind"], row["group"], row["org_unit"], date.fromisoformat(row["valid_from"]),
                date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            )
            for row in district.deployment_rows()
        ]  # fmt: skip
        units = [
            OrgUnitRow(
                row["source"], row["place"], row["org_unit"], row["level"], row["parent"], row["name"],
                date.fromisoformat(row["valid_from"]),
                date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            )
            for row in district.org_unit_rows()
        ]  # fmt: skip
        return replace(pack, version=f"{pack.version}+", targets=targets, deployments=deployments, org_units=units)

    road = make_road(district.cht_docs(), of_district)
    for path, text in district.files.items():
        place = road.files / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    road.run(targets=[])
    truth = oracle.records_of_district(district, road.clock.now().date())
    truth.answers.clear()  # nobody asks the clinic here
    counted = oracle.all_figures(truth, district)
    live = {key: n for key, n in counted.items() if not ended_before(key[2], date(2026, 7, 1))}
    assert len(live) > 500 and live != counted

    document = export(road, "adx", tmp_path / "adx")
    read, wanted = no_noughts(read_all(tmp_path / "adx")), {key: str(n) for key, n in live.items()}
    assert read == wanted
    assert document["values"] == sum(document["files"].values()) == len(read_all(tmp_path / "adx"))
    assert set(document["left_out"]) == {"old"}

    document = export(road, "mreport", tmp_path / "reports")
    expected: dict[str, dict[str, float]] = {}
    for (element, unit, period, _), n in live.items():
        name, part = re.fullmatch(r"MH_(\w+?)(?:_(NUM|DEN))?", element).groups()  # type: ignore[union-attr]
        block = expected.setdefault(f"{metadata.ELEMENTS[element][1]}/{unit}/{period}", {})
        of = f"{name}.{(part or 'count').lower()}"
        block[of] = block.get(of, 0) + n
    found = {block: figures for block, figures in totals(tmp_path / "reports").items() if figures}
    assert found == expected and document["files"] == {
        "MeasureReport.ndjson": len(list(read_reports(tmp_path / "reports")))
    }


def ended_before(period: str, day: date) -> bool:
    """Of the types of period in the pack."""
    year = int(period[:4])
    if len(period) == 4:
        month = 12
    elif period[4] in "QS":
        month = int(period[5]) * (3 if period[4] == "Q" else 6)
    else:
        month = int(period[4:])
    return date(year + month // 12, month % 12 + 1, 1) <= day


def test_after_a_run_the_files_say_what_dhis2_holds(sent: Road, export: Export, tmp_path: Path) -> None:
    road = sent
    assert len(road.values()) > 20
    assert export(road, "adx", tmp_path / "adx")["left_out"] == {}
    assert no_noughts(read_all(tmp_path / "adx")) == no_noughts(road.values())
    export(road, "adx", tmp_path / "one", "--period", "202608", "--data-set", "MH_SEC", "--org-unit", UNIT)
    (file,) = (tmp_path / "one").iterdir()
    assert file.name == "MH_SEC-202608.adx.xml"
    here = {k: v for k, v in road.values().items() if k[1:3] == (UNIT, "202608")}
    assert no_noughts(read_adx(file)) == no_noughts({k: v for k, v in here.items() if k[0] in IN_SEC})


IN_SEC = {element for element, (_, data_set) in metadata.ELEMENTS.items() if data_set == "MH_SEC"}


def test_the_report_is_the_one_that_the_fhir_server_has(road: Road, export: Export, tmp_path: Path) -> None:
    road.settle()
    export(road, "mreport", tmp_path)
    held = {k: r for k, r in road.fhir.state()["resources"].items() if r["resourceType"] == "MeasureReport"}
    assert {f"MeasureReport/{one['id']}": one for one in read_reports(tmp_path)} == held and held
    one = next(r for r in held.values() if r["identifier"][0]["value"] == f"MH_SEC/{UNIT}/202608")
    assert one["reporter"] == one["subject"] and one["subject"]["identifier"]["value"] == UNIT
    assert (one["measure"], one["period"]) == (
        "urn:relais:measure:MH_SEC",
        {"start": "2026-08-01", "end": "2026-08-31"},
    )


# ---------------------------------------------------------------- what is not


def test_nothing_that_waits_for_approval_is_in_a_file(make_road: Make, export: Export, tmp_path: Path) -> None:
    road = make_road(change=just(asking("1")))
    road.settle()
    for kind in ("adx", "mreport"):
        document = export(road, kind, tmp_path / kind, "--data-set", "MH_SEC")
        assert document["values"] == 0 and document["left_out"]["not_released"] > 20, kind
    assert list((tmp_path / "adx").iterdir()) == [] and list(read_reports(tmp_path / "mreport")) == []
    approve(road)
    export(road, "adx", tmp_path / "approved", "--data-set", "MH_SEC")
    assert {key[2] for key in read_all(tmp_path / "approved")} == {"202608"}
    road.settle()
    assert export(road, "adx", tmp_path / "sent", "--data-set", "MH_SEC")["left_out"].keys() == {"not_released"}
    assert no_noughts(read_all(tmp_path / "sent")) == no_noughts(road.values())
    road.cht.put(visit("within", "2026-08-20"))
    road.settle()
    export(road, "adx", tmp_path / "within", "--period", "202608")
    assert read_all(tmp_path / "within")[A04] == "2", "one more is within the margin"
    road.cht.put(visit("beyond", "2026-08-21"))
    road.settle()
    assert road.delivery(BLOCK)["reason"] == "dhis2.awaiting_release"
    assert export(road, "adx", tmp_path / "beyond", "--period", "202608", "--data-set", "MH_SEC")["values"] == 0


def test_what_was_typed_at_dhis2_is_not_overwritten_by_a_file(make_road: Make, export: Export, tmp_path: Path) -> None:
    boy = person("person-boy", born="2024-01-01", sex="male")
    road = make_road([*a_few(), boy, visit("boy", subject="person-boy")], just_dhis2)
    road.type_in(A04[0], A04[3], "9")
    road.settle()
    assert road.cell("MH_A04", A04[3])["state"] == "held"
    document = export(road, "adx", tmp_path / "adx", "--period", "202608")
    assert document["left_out"] == {"held": 1} and A04 not in read_all(tmp_path / "adx")
    document = export(road, "mreport", tmp_path / "reports", "--period", "202608")
    others = sum(key[0] == "MH_A04" and key[2] == "202608" for key in road.values()) - 1
    assert others and document["left_out"] == {"held": 1, "partial": others}
    figures = totals(tmp_path / "reports")[f"MH_SEC/{UNIT}/202608"]
    assert "A04.count" not in figures and "B01.den" in figures, "a total without one of its figures would be wrong"
    road.actions.release(road.cell("MH_A04", A04[3])["id"], "keep", by="ministry")
    assert export(road, "adx", tmp_path / "kept", "--period", "202608")["left_out"] == {"kept": 1}
    road.actions.release(road.cell("MH_A04", A04[3])["id"], "overwrite", by="ministry")
    export(road, "adx", tmp_path / "ours", "--period", "202608")
    assert read_all(tmp_path / "ours")[A04] == "1"


@pytest.mark.parametrize(
    ("change", "why"), [(target("dhis2", live_from="202610"), "old"), (target("dhis2", mode="shadow"), "shadow")]
)
def test_what_is_never_sent_is_never_exported(
    make_road: Make, export: Export, tmp_path: Path, change: Change, why: str
) -> None:
    road = make_road(change=just(change))
    road.settle()
    for kind in ("adx", "mreport"):
        document = export(road, kind, tmp_path / kind, "--period", "202608")
        assert document["values"] == 0 and document["left_out"].keys() == {why}, kind


def test_a_figure_to_be_deleted_is_named(make_road: Make, export: Export, tmp_path: Path) -> None:
    road = make_road(change=just(target("dhis2", vanished="delete")))
    road.settle()
    road.cht.delete("visit-08-1")
    road.run()
    document = export(road, "adx", tmp_path / "out", "--period", "202608")
    assert document["left_out"]["deleted"] > 1 and A04 not in read_all(tmp_path / "out")
    assert A04 not in no_noughts(road.values())


def test_a_category_that_left_the_pack_has_no_name(sent: Road, export: Export, tmp_path: Path) -> None:
    road = sent
    engine = road.engine
    category = engine.pack.categories["A2"]
    options = {name: code for name, code in category.options.items() if name != "y1_4"}
    categories = {**engine.pack.categories, "A2": replace(category, options=options)}
    engine.pack = replace(engine.pack, categories=categories)
    assert export(road, "adx", tmp_path / "out", "--period", "202608")["left_out"]["unnamed"] >= 1
    assert A04 not in read_all(tmp_path / "out")


def test_a_code_that_cannot_be_an_attribute_is_named_before_anything_is_written(
    sent: Road, export: Export, tmp_path: Path
) -> None:
    road = sent
    engine = road.engine
    shipped = engine.pack
    for code in ("2A", "SEX OF CHILD", "value", "xmlns", "dataElement", 'A"'):
        changed = replace(shipped.categories["A2"], code=code)
        engine.pack = replace(shipped, categories={**shipped.categories, "A2": changed})
        document = export(road, "adx", tmp_path / "none", code=2)
        assert f"A2 ({code})" in document["message"] and f"A2 ({code})" in document["message_fr"]
        assert not (tmp_path / "none").exists()
        export(road, "adx", tmp_path / "stock", "--data-set", "MH_STOCK")  # not split by it


# ---------------------------------------------------------------- the files themselves


def test_a_half_file_is_no_file(sent: Road, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    road = sent
    folder = tmp_path / "out"
    export(road, "adx", folder, "--period", "202608", "--data-set", "MH_SEC")
    (file,) = folder.iterdir()
    before = file.read_bytes()

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(adx, "group", full)
    with pytest.raises(OSError, match="No space"):
        export(road, "adx", folder, "--period", "202608", "--data-set", "MH_SEC")
    assert list(folder.iterdir()) == [file] and file.read_bytes() == before


def test_who_exported_is_on_record(sent: Road, export: Export, tmp_path: Path) -> None:
    road = sent
    values = {kind: export(road, kind, tmp_path / kind)["values"] for kind in ("adx", "mreport")}
    rows = road.rows("SELECT event, detail FROM audit WHERE event LIKE 'export.%' ORDER BY id")
    assert [row["event"] for row in rows] == ["export.adx", "export.adx.done", "export.mreport", "export.mreport.done"]
    assert [orjson.loads(row["detail"])["values"] for row in rows[1::2]] == list(values.values())


def test_words_are_escaped_and_periods_are_a_day_and_a_length() -> None:
    pack = shipped()[0]
    text = adx.group(pack, "A&B", 'U"<1>', "2026Q3", [("MH_A04", [("A2", "y1_4"), ("S", "female")], "3")])
    group = ElementTree.fromstring(text)
    assert group.attrib == {"dataSet": "A&B", "orgUnit": 'U"<1>', "period": "2026-07-01/P3M"}
    assert list(group[0].attrib) == ["dataElement", "A2", "S", "value"]
    for period, written in {
        "20260731": "2026-07-31/P1D", "2026W5": "2026-01-26/P7D", "2026WedW5": "2026-01-28/P7D",
        "202607": "2026-07-01/P1M", "202604B": "2026-07-01/P2M", "2026S2": "2026-07-01/P6M", "2026": "2026-01-01/P1Y",
        "2026April": "2026-04-01/P1Y",
    }.items():  # fmt: skip
        assert adx.period_of(period) == written
