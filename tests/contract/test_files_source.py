"""A folder as a source: what a later file, a rewritten one, a half-written line and a spreadsheet's habits do."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.adapters.files import FilesSource
from connector.errors import SourceUnavailable
from connector.model import Cursor, Page, Record


def pull(folder: Path, since: Cursor | None = None, **settings: Any) -> list[Page]:
    async def go() -> list[Page]:
        return [page async for page in FilesSource(folder, "files", settings).pages(since)]

    return asyncio.run(go())


def records(pages: list[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


def brief(pages: list[Page]) -> list[tuple[str, Any]]:
    """Key and what became of it: the field ``n``, ``gone`` or why it cannot be read."""
    return [(r.key, "gone" if r.deleted else r.unreadable or r.body.get("n")) for r in records(pages)]


def submission(id: str, n: int, **system: Any) -> str:
    return json.dumps(
        {"__id": id, "__system": {"submissionDate": "2026-07-01T08:00:00Z", "edits": 0, **system}, "n": n}
    )


def write(path: Path, *lines: str, end: str = "\n") -> None:
    path.write_text("\n".join(lines) + end, "utf-8")


# ---------------------------------------------------------------- one JSON per line


def test_submissions_are_read_with_key_form_revision_and_time(tmp_path: Path) -> None:
    write(
        tmp_path / "reunion-07.ndjson",
        submission("uuid:a", 1, updatedAt="2026-07-02T09:00:00Z"),
        "",
        submission("uuid:b", 2),
    )
    first, second = records(pull(tmp_path))
    assert (first.source, first.stream, first.form, first.key) == ("files", "reunion", "reunion", "uuid:a")
    assert first.revision.startswith("2026-07-02T09:00:00Z/2026-07-01T08:00:00Z/0/")
    assert first.changed_at == datetime(2026, 7, 2, 9, tzinfo=UTC)
    assert second.changed_at == datetime(2026, 7, 1, 8, tzinfo=UTC)


def test_nothing_new_is_an_empty_page_with_the_same_cursor(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", submission("a", 1))
    cursor = pull(tmp_path)[-1].cursor
    assert pull(tmp_path, cursor) == [Page((), cursor, behind=0)]


def test_lines_added_are_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    write(path, submission("a", 1), submission("b", 2))
    cursor = pull(tmp_path)[-1].cursor
    with path.open("a") as file:
        file.write(submission("c", 3) + "\n")
    assert brief(pull(tmp_path, cursor)) == [("c", 3)]


def test_a_half_written_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    line = submission("b", 2)
    write(path, submission("a", 1), line[:20], end="")
    pages = pull(tmp_path)
    assert brief(pages) == [("a", 1)]
    write(path, submission("a", 1), line, end="")
    again = pull(tmp_path, pages[-1].cursor)
    assert brief(again) == [("b", 2)]  # whole though without its newline
    assert brief(pull(tmp_path, again[-1].cursor)) == []
    write(path, submission("a", 1), line, submission("c", 3))
    assert brief(pull(tmp_path, again[-1].cursor)) == [("b", 2), ("c", 3)]


def test_a_file_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    write(path, submission("a", 1), submission("b", 2))
    cursor = pull(tmp_path)[-1].cursor
    write(path, submission("a", 9), submission("b", 2))  # same length, so only its content tells
    assert brief(pull(tmp_path, cursor)) == [("a", 9), ("b", 2)]


def test_the_last_file_by_name_has_the_last_word_even_when_an_earlier_one_changes(tmp_path: Path) -> None:
    write(tmp_path / "f-1.ndjson", submission("a", 1))
    write(tmp_path / "f-2.ndjson", submission("a", 2))
    first = pull(tmp_path)
    assert brief(first) == [("a", 1), ("a", 2)]
    write(tmp_path / "f-1.ndjson", submission("a", 1), submission("b", 1))
    assert brief(pull(tmp_path, first[-1].cursor)) == [("b", 1), ("a", 2)]
    write(tmp_path / "f-0.ndjson", submission("a", 0))
    assert brief(pull(tmp_path, first[-1].cursor))[-1] == ("a", 2)


def test_a_pull_cut_short_after_an_earlier_file_still_ends_with_the_later_one(tmp_path: Path) -> None:
    write(tmp_path / "f-1.ndjson", submission("a", 1))
    write(tmp_path / "f-2.ndjson", submission("a", 2))
    cursor = pull(tmp_path)[-1].cursor
    write(tmp_path / "f-1.ndjson", submission("a", 3))
    cut = pull(tmp_path, cursor)[0]
    assert brief([cut]) == [("a", 3)]
    assert brief(pull(tmp_path, cut.cursor)) == [("a", 2)]


def test_a_deleted_submission(tmp_path: Path) -> None:
    write(
        tmp_path / "f.ndjson", submission("a", 1, deletedAt="2026-07-09T00:00:00Z"), submission("b", 2, deletedAt=None)
    )
    assert brief(pull(tmp_path)) == [("a", "gone"), ("b", 2)]


def test_an_unreadable_line_waits_under_its_place_and_goes_when_the_file_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    write(path, submission("a", 1), '{"__id": "b", n: 2}', "[1]", '{"x": NaN}', submission("c", 3))
    first = pull(tmp_path)
    bad = [(f"f.ndjson#{n}", "line.not_json") for n in (2, 3, 4)]
    assert brief(first) == [("a", 1), *bad, ("c", 3)]
    assert {r.form for r in records(first)} == {"f"} and records(first)[1].body == {}
    write(path, submission("a", 1), submission("b", 2), submission("c", 3))
    again = brief(pull(tmp_path, first[-1].cursor))
    assert again == [
        ("a", 1),
        ("f.ndjson#2", "gone"),
        ("b", 2),
        ("f.ndjson#3", "gone"),
        ("c", 3),
        ("f.ndjson#4", "gone"),
    ]
    assert brief(pull(tmp_path, pull(tmp_path, first[-1].cursor)[-1].cursor)) == []


def test_a_line_without_a_key_keeps_its_place_as_key_and_stays_readable(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", '{"n": 1}', '{"__id": "", "n": 2}', '{"__id": "a\\nb", "n": 3}')
    assert brief(pull(tmp_path)) == [("f.ndjson#1", 1), ("f.ndjson#2", 2), ("f.ndjson#3", 3)]


def test_a_line_too_long_is_stepped_over(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", submission("a", 1), "x" * 5000, submission("b", 2))
    assert brief(pull(tmp_path, max_line_bytes=1000)) == [("a", 1), ("f.ndjson#2", "line.too_long"), ("b", 2)]


def test_many_lines_come_in_pages_and_reading_goes_on_where_a_page_ended(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", *[submission(f"k{n:05}", n) for n in range(1200)])
    pages = pull(tmp_path)
    assert [len(page.records) for page in pages] == [500, 500, 200, 0]
    assert brief(pull(tmp_path, pages[0].cursor)) == brief(pages)[500:]
    assert brief(pull(tmp_path, pages[-1].cursor)) == []


def test_numbers_are_kept_as_written(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", '{"__id":"a","n":1.50,"m":7}')
    assert records(pull(tmp_path))[0].body == {"__id": "a", "n": "1.50", "m": 7}


def test_a_revision_differs_when_the_content_does_though_the_stamps_agree(tmp_path: Path) -> None:
    write(tmp_path / "f-1.ndjson", submission("a", 1), submission("a", 2), submission("a", 1))
    one, two, three = (record.revision for record in records(pull(tmp_path)))
    assert one != two and one == three


# ---------------------------------------------------------------- Kobo


def kobo(*items: Any) -> str:
    return json.dumps({"count": len(items), "next": None, "results": list(items)})


def asaco(root: str, n: int, version: str = "1") -> dict[str, Any]:
    """Keys as in an export: flat, with the group in the name (sources-mali-indicators 1.4)."""
    return {
        "_id": 48211907,
        "_uuid": f"{root}-{version}",
        "meta/rootUuid": f"uuid:{root}",
        "_xform_id_string": "aGovASACO",
        "_submission_time": "2026-07-08T09:33:05",
        "n": n,
    }


def test_an_export_is_read_by_root_uuid_with_times_in_utc(tmp_path: Path) -> None:
    (tmp_path / "export-1.json").write_text(kobo(asaco("a", 1), asaco("a", 2, version="2"), {"_id": 7, "n": 3}))
    first, edited, third = records(pull(tmp_path, format="kobo"))
    assert (first.key, first.form, first.stream) == ("uuid:a", "aGovASACO", "aGovASACO")
    assert first.changed_at == datetime(2026, 7, 8, 9, 33, 5, tzinfo=UTC)
    assert edited.key == first.key and edited.revision.startswith("a-2/")
    assert (third.key, third.form) == ("7", "export")


def test_a_broken_export_is_one_unreadable_record_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "aGovASACO-1.json"
    path.write_text(kobo(asaco("a", 1))[:60])
    first = pull(tmp_path, format="kobo")
    assert brief(first) == [("aGovASACO-1.json#0", "file.not_json")]
    assert brief(pull(tmp_path, first[-1].cursor, format="kobo")) == []
    path.write_text(kobo(asaco("a", 1), 5))
    again = pull(tmp_path, first[-1].cursor, format="kobo")
    wanted = [("uuid:a", 1), ("aGovASACO-1.json#2", "line.not_json"), ("aGovASACO-1.json#0", "gone")]
    assert brief(again) == wanted
    assert brief(pull(tmp_path, again[-1].cursor, format="kobo")) == []


def test_an_export_too_big_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(kobo(asaco("a", 1)))
    assert brief(pull(tmp_path, format="kobo", max_file_bytes=50)) == [("a.json#0", "file.too_big")]


def test_one_submission_of_odk_alone_in_a_json_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "visite-1.json").write_text(submission("uuid:c", 3))
    (tmp_path / "visite-2.json").write_text('{"no": "key"}')
    first = pull(tmp_path)
    assert brief(first) == [("uuid:c", 3), ("visite-2.json#0", "file.not_json")]
    assert brief(pull(tmp_path, first[-1].cursor)) == []


def test_an_odata_answer_of_odk_gives_its_submissions(tmp_path: Path) -> None:
    page = [submission("uuid:a", 1), submission("uuid:b", 2, deletedAt="2026-07-03T08:00:00Z")]
    (tmp_path / "visite-1.json").write_text(f'{{"@odata.context": "x",\n"value": [{",".join(page)}]}}')
    write(tmp_path / "visite-2.ndjson", submission("uuid:a", 5))
    first = pull(tmp_path)
    assert brief(first) == [("uuid:a", 1), ("uuid:b", "gone"), ("uuid:a", 5)]
    assert {one.form for one in records(first)} == {"visite"}
    assert brief(pull(tmp_path, first[-1].cursor)) == []
    assert brief(pull(tmp_path, pattern="*.json", max_file_bytes=20))[0] == ("visite-1.json#0", "file.too_big")


# ---------------------------------------------------------------- CSV


def table(folder: Path, since: Cursor | None = None, **settings: Any) -> list[Page]:
    return pull(folder, since, format="csv", **settings)


def test_a_spreadsheet_with_its_bom_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    rows = [
        "\ufeffrecord_id;Durée (h);thème;vide;action",
        'c-1;"1,5";" palu ;disme ";;upsert',
        ";;;;",
        "",
        "c-2;2;x;y;DELETE",
    ]
    (tmp_path / "causeries-2.csv").write_text("\r\n".join(rows) + "\r\n", "utf-8", newline="")
    first, gone = records(table(tmp_path))
    assert first.body == {"record_id": "c-1", "Durée (h)": "1,5", "thème": "palu ;disme", "action": "upsert"}
    assert (first.form, first.key, first.deleted) == ("causeries", "c-1", False)
    assert (gone.key, gone.deleted) == ("c-2", True)


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "cp1252"), ("\t", "utf-8-sig")])
def test_delimiter_and_encoding_are_found_out(tmp_path: Path, delimiter: str, encoding: str) -> None:
    lines = [["record_id", "thème"], ["a", "santé"]]
    (tmp_path / "f.csv").write_bytes("\n".join(delimiter.join(line) for line in lines).encode(encoding))
    assert records(table(tmp_path))[0].body == {"record_id": "a", "thème": "santé"}


def test_a_cell_may_hold_lines_and_odd_separators(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text('record_id;note\na;"one\ntwo ""2""\u2028three"\nb;x\n', "utf-8")
    first, second = records(table(tmp_path))
    assert first.body["note"] == 'one\ntwo "2"\u2028three' and second.key == "b"


def test_a_row_with_too_few_or_many_cells_waits_in_quarantine_a_last_one_only_waits(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("record_id;n\na;1\nb\nc;1;2\nd")
    first = table(tmp_path)
    assert brief(first) == [("a", "1"), ("f.csv#3", "row.columns"), ("f.csv#4", "row.columns")]
    path.write_text("record_id;n\na;1\nb\nc;1;2\nd;4\n")
    assert brief(table(tmp_path, first[-1].cursor)) == [("d", "4")]
    path.write_text("record_id;n\na;1\nb;2\nc;1\n")
    wanted = [("a", "1"), ("f.csv#3", "gone"), ("b", "2"), ("f.csv#4", "gone"), ("c", "1")]
    assert brief(table(tmp_path, first[-1].cursor)) == wanted


def test_rows_added_later_keep_the_header_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("record_id;n\na;1\n")
    cursor = table(tmp_path)[-1].cursor
    path.write_text("record_id;n\na;1\nb;2\n")
    assert brief(table(tmp_path, cursor)) == [("b", "2")]


def test_settings_name_form_key_action_and_revision(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("no,etat,v\n1,delete,3\n")
    (only,) = records(table(tmp_path, pattern="*.txt", form="causeries", key="no", action="etat", revision=["v"]))
    assert (only.form, only.key, only.deleted, only.revision[:2]) == ("causeries", "1", True, "3/")


# ---------------------------------------------------------------- the folder


def test_hidden_files_links_and_other_names_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", submission("a", 1))
    write(tmp_path / ".f.ndjson", submission("b", 1))
    write(tmp_path / "f.ndjson.part", submission("c", 1))
    (tmp_path / "g.ndjson").symlink_to(tmp_path / ".f.ndjson")
    assert brief(pull(tmp_path)) == [("a", 1)]


def test_a_file_taken_away_deletes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", submission("a", 1))
    cursor = pull(tmp_path)[-1].cursor
    (tmp_path / "f.ndjson").unlink()
    assert brief(pull(tmp_path, cursor)) == []


def test_a_missing_folder_is_unavailable_and_a_foreign_cursor_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        pull(tmp_path / "nowhere")
    write(tmp_path / "f.ndjson", submission("a", 1))
    for cursor in ("not json", "[]", '{"f.ndjson":{"old":1}}'):
        assert brief(pull(tmp_path, Cursor(cursor))) == [("a", 1)]


def test_probe(tmp_path: Path) -> None:
    def probe(folder: Path) -> list[str]:
        return [finding.code for finding in asyncio.run(FilesSource(folder, "files").probe())]

    assert probe(tmp_path) == ["source.no_files"]
    assert probe(tmp_path / "nowhere") == ["source.unavailable"]
    write(tmp_path / "f.ndjson", submission("a", 1))
    assert probe(tmp_path) == []


def test_a_file_that_is_never_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "f.ndjson", submission("a", 1))
    for name in ("f.xlsx", ".hidden", "~lock.txt"):
        write(tmp_path / name, "x")
    (finding,) = asyncio.run(FilesSource(tmp_path, "files").probe())
    assert finding.code == "source.file_ignored"
    assert "f.xlsx" in finding.message and "hidden" not in finding.message and "*.ndjson, *.json" in finding.message
