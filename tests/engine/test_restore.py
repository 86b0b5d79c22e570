"""A backup is put back while the targets have moved on: nothing is doubled, and every figure is true again."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import cli
from connector.engine import restoring
from tests.engine.house import ANNA, Make, Road, a_few, visit


def database(road: Road) -> Path:
    return road.folder / "relais" / "relais.db"


def backup(road: Road) -> Path:
    copy = road.folder / "backup.db"
    source, target = sqlite3.connect(database(road)), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    return copy


def put_back(road: Road, copy: Path) -> None:
    road.close()
    for side in ("", "-wal", "-shm"):
        Path(f"{database(road)}{side}").unlink(missing_ok=True)
    shutil.copyfile(copy, database(road))
    road.open()


def after_restore(road: Road, **more: Any) -> dict[str, Any]:
    return road.run(wait=timedelta(hours=12), after_restore=True, **more)


def living(road: Road) -> dict[str, int]:
    state = road.openmrs.state()
    return {
        "patients": len([p for p in state["patients"] if not p["voided"]]),
        "encounters": len([e for e in state["encounters"] if not e["voided"]]),
        "appointments": len([a for a in state["appointments"] if a["status"] != "Cancelled"]),
    }


def life(road: Road) -> None:
    """After the backup: new, edited and corrected records, a second referral, and deliveries of all that."""
    road.cht.put(visit("new-1", "2026-08-21", refer=True))
    road.cht.put(visit("new-2", "2026-09-21", worker="asc-013"))
    road.cht.edit("visit-07-1", {"fields": visit("visit-07-1", "2026-07-10", rdt="negative")["fields"]})
    road.cht.edit("visit-08-1", {"fields": visit("visit-08-1", "2026-08-10", refer=True, rdt="negative")["fields"]})
    road.settle()
    road.cht.edit("visit-08-1", {"fields": visit("visit-08-1", "2026-08-11", refer=True)["fields"]})
    road.cht.delete("visit-09-2")
    road.settle()


def test_after_a_restore_every_target_is_as_if_nothing_had_happened(make_road: Make) -> None:
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    values, clinic, resources = road.values(), living(road), road.fhir.state()
    posts = {name: road.writes(name) for name in ("dhis2", "openmrs", "fhir")}
    put_back(road, copy)
    assert "new-1" not in str(road.rows("SELECT record FROM head")), "the backup knows nothing of it"
    summary = after_restore(road)
    assert summary["outcome"] == "settled", summary
    assert road.values() == values
    assert living(road) == clinic and clinic["patients"] == 1
    assert road.fhir.state() == resources
    assert {name: road.writes(name) for name in posts} == posts, "what they hold is not sent again"
    assert not any(summary["attention"].values()), summary["attention"]
    again = road.settle()
    assert again["outcome"] == "settled" and {name: road.writes(name) for name in posts} == posts


def test_what_changed_at_the_source_since_is_sent_and_only_that(make_road: Make) -> None:
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    put_back(road, copy)
    road.cht.edit("new-1", {"fields": visit("new-1", "2026-08-21", refer=True, rdt="negative")["fields"]})
    road.cht.edit("visit-07-1", {"fields": visit("visit-07-1", "2026-07-10")["fields"]})  # as in the backup again
    road.cht.edit("visit-08-1", {"fields": visit("visit-08-1", "2026-08-10", refer=True)["fields"]})
    before = living(road)
    summary = after_restore(road)
    assert summary["outcome"] == "settled" and not any(summary["attention"].values()), summary
    assert living(road) == before, "corrected, not doubled"
    fresh = {
        (r["data_element"], r["org_unit"], r["period"], r["combo"]): r["value"]
        for r in road.rows("SELECT * FROM cell WHERE value IS NOT NULL AND value <> '0'")
    }
    held = {address: value for address, value in road.values().items() if value != "0"}
    assert held == fresh, "DHIS2 holds what the records say, and nothing else"
    found = road.reconcile("dhis2")
    assert found["different"] == found["missing"] == found["unknown_there"] == 0
    found = road.reconcile("fhir")
    assert found["different"] == found["missing"] == 0


def test_figures_of_a_record_that_came_and_went_meanwhile_are_put_right(make_road: Make) -> None:
    road = make_road()
    road.settle()
    before = road.values()
    copy = backup(road)
    road.cht.put(visit("short-lived", "2026-08-25", subject="person-modibo", rdt="positive"))
    road.settle()
    assert road.values() != before
    put_back(road, copy)
    road.cht.delete("short-lived")
    after_restore(road)
    left = {k: v for k, v in road.values().items() if before.get(k) != v and v != "0"}
    assert not left and {k: v for k, v in road.values().items() if k in before} == before


def test_what_a_person_typed_meanwhile_stays_theirs(make_road: Make) -> None:
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    typed = next(c for c in road.rows("SELECT * FROM cell WHERE state='accepted' AND period='202608' AND value='1'"))
    free = next(c for c in road.rows("SELECT * FROM cell WHERE state='accepted' AND period='202607' AND value='1'"))
    for cell in (typed, free):
        road.type_in(cell["data_element"], cell["combo"], "77", cell["period"], cell["org_unit"])
    put_back(road, copy)
    after_restore(road)
    for cell in (typed, free):
        assert road.value(cell["data_element"], cell["combo"], cell["period"], cell["org_unit"]) == "77"
    road.settle()
    assert road.value(typed["data_element"], typed["combo"], typed["period"], typed["org_unit"]) == "77"


def test_a_target_that_cannot_be_read_gets_nothing_until_it_can(make_road: Make) -> None:
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    values = road.values()
    put_back(road, copy)
    road.dhis2.plane.arm({"down": True})
    before = road.writes("dhis2")
    summary = road.run(after_restore=True)
    assert "dhis2" in summary["errors"] and summary["outcome"] == "waiting"
    road.dhis2.plane.arm([])
    road.later(hours=2)
    road.settle()
    assert road.writes("dhis2") == before, "it was not compared yet, so nothing is sent by an ordinary run either"
    paused = road.one("SELECT paused FROM target_state WHERE target='dhis2'")["paused"]
    assert orjson.loads(paused)["reason"] == restoring.REASON
    assert after_restore(road)["outcome"] == "settled" and road.values() == values


def test_while_a_source_is_silent_nothing_older_is_sent(make_road: Make) -> None:
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    values = road.values()
    put_back(road, copy)
    road.cht.plane.arm({"down": True})
    summary = road.run(after_restore=True)
    assert summary["outcome"] == "waiting" or summary["errors"]
    assert road.values() == values
    road.cht.plane.arm([])
    road.later(hours=2)
    assert after_restore(road)["outcome"] == "settled" and road.values() == values


def relais(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_trail_goes_on_from_the_backup_and_says_so(
    make_road: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("RELAIS_AUDIT_HEADS", str(tmp_path / "elsewhere" / "heads"))
    road = make_road()
    road.settle()
    copy = backup(road)
    life(road)
    put_back(road, copy)
    road.close()

    def verify() -> tuple[int, dict[str, Any]]:
        capfd.readouterr()
        code = relais(monkeypatch, "audit", "verify", "--json")
        return code, orjson.loads(capfd.readouterr().out.splitlines()[-1])

    code, found = verify()
    assert (code, found["reason"]) == (3, "tail.cut"), "by itself a restore looks like what it is: entries are missing"
    road.open()
    after_restore(road)
    entry = road.one("SELECT detail FROM audit WHERE event='database.restored'")
    assert orjson.loads(entry["detail"])["heads_beyond"] > 0
    road.settle()
    road.close()
    code, found = verify()
    assert (code, found["ok"], len(found["restored"])) == (0, True, 1), found

    lines = (tmp_path / "elsewhere" / "heads").read_bytes().splitlines(keepends=True)
    forged = [line.replace(b'"sequence":', b'"sequence":1') if b"restored" in line else line for line in lines]
    (tmp_path / "elsewhere" / "heads").write_bytes(b"".join(forged))
    assert verify()[0] == 3, "nobody but us can say that a restore cut the chain"


def test_a_restored_database_sends_nothing_before_it_was_compared(
    make_road: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    road = make_road(a_few())
    road.settle()
    file = tmp_path / "copy.db"
    road.close()
    assert relais(monkeypatch, "db", "backup", str(file)) == 0
    database(road).rename(tmp_path / "old.db")
    (tmp_path / "nonsense").write_text("no database")
    assert relais(monkeypatch, "db", "restore", str(tmp_path / "nonsense")) == 2 and not database(road).exists()
    assert relais(monkeypatch, "db", "restore", str(file)) == 0
    assert "--after-restore" in capfd.readouterr().out
    road.open()
    road.cht.put(visit("later", "2026-08-28", subject=ANNA))
    before = road.writes("dhis2")
    road.settle()
    assert road.writes("dhis2") == before
    assert after_restore(road)["outcome"] == "settled" and road.writes("dhis2") > before
