"""A folder of files as a source: ODK submissions (one JSON per line, or an OData answer), Kobo exports (JSON), CSV.

A later file supersedes an earlier one by key: files are read in the order of their names, and when one has something
new, all after it are read again. The cursor is JSON: file name -> what of it has been read. Lines are read one by one
and bounded; a last line that is not whole yet waits.

Numbers: integers stay integers, every other JSON number is kept as the text that was written (``connector.http``).
All cells of a CSV are text; an empty cell is absent ("not asked" is absent), headers stay as they are written.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from connector.errors import PushUnreadable, SourceUnavailable
from connector.http import exact_json
from connector.identity import digest
from connector.model import Cursor, Finding, Page, Record, Severity, Who

_PAGE = 500
_BAD_KEPT = 1000  # numbers of unreadable lines remembered per file
_NAMED = 5  # files that fit no pattern, named in a finding


@dataclass(frozen=True, slots=True)
class _Format:
    patterns: tuple[str, ...]
    key: tuple[str, ...]
    revision: tuple[str, ...]  #: fields that name the revision; the digest of the record is always added
    changed: tuple[str, ...] = ()  #: the first that is there says when it changed


# sources-mali-indicators 1.3 and 1.4: `__id` and `meta/rootUuid` stay, the others move with an edit.
_ODK = _Format(
    ("*.ndjson", "*.json"),
    ("__id",),
    ("__system.updatedAt", "__system.submissionDate", "__system.edits"),
    ("__system.deletedAt", "__system.updatedAt", "__system.submissionDate"),
)
_KOBO = _Format(("*.json",), ("meta/rootUuid", "_id"), ("_uuid",), ("_submission_time",))
_CSV = _Format(("*.csv",), ("record_id",), ())
_FORMATS = {"odk": _ODK, "ndjson": _ODK, "kobo": _KOBO, "csv": _CSV}


@dataclass(slots=True)
class _Mark:
    """What has been read of a file. ``digest``: of its first ``offset`` bytes; ``tail``: of the rest."""

    offset: int = 0
    line: int = 0
    digest: str = ""
    tail: str = ""
    header: list[str] = field(default_factory=list)
    delimiter: str = ""
    bad: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Line:
    """One physical line (or, in CSV, the lines of one row). ``whole``: it ends with a newline."""

    number: int
    data: bytes
    end: int
    whole: bool
    too_long: bool = False


class FilesSource:
    """``settings``: ``format`` (odk | kobo | csv), ``pattern`` of the file names, ``form`` (else the beginning of the
    file name up to the first ``-``; for Kobo ``_xform_id_string`` first), ``key`` and ``revision`` (field names),
    ``action`` (CSV column that says ``delete``), ``delimiter``, ``max_line_bytes``, ``max_file_bytes`` (of a ``.json``
    file, a Kobo export or an OData answer of ODK, which is read whole).

    A line that cannot be read becomes a record ``unreadable`` under the key ``<file>#<line>``, which is withdrawn when
    the file is written again with that line in order. A line without a key has that same key and stays readable, so
    that the mapping says ``key.missing``. Reasons: ``line.not_json``, ``line.too_long``, ``line.too_deep``,
    ``row.columns``, ``file.not_json``, ``file.too_big``.
    """

    def __init__(self, folder: Path | str, name: str, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        self.name = name
        self._folder = Path(folder)
        self._kind = str(settings.get("format", "odk"))
        self._format = _FORMATS[self._kind]
        self._patterns = (str(settings["pattern"]),) if "pattern" in settings else self._format.patterns
        self._form = settings.get("form")
        self._key = _names(settings.get("key")) or self._format.key
        self._revision = _names(settings.get("revision")) or self._format.revision
        self._action = str(settings.get("action", "action"))
        self._delimiter = settings.get("delimiter")
        self._max_line = int(settings.get("max_line_bytes", 1024 * 1024))
        self._max_file = int(settings.get("max_file_bytes", 64 * 1024 * 1024))

    async def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
        """Pages of at most 500 records in file order; always at least one. Raises SourceUnavailable."""
        files = self._files()
        marks = {name: mark for name, mark in _marks(since).items() if name in files}
        again = False
        for name, path in files.items():
            mark = marks.get(name, _Mark())
            try:
                with path.open("rb") as file:
                    changed = again or self._resume(file, mark, known=name in marks)
                    if not changed:
                        continue
                    if not again:
                        # From here on everything is read again, and a run that is cut short must know it.
                        again = True
                        for later in [other for other in marks if other > name]:
                            marks[later] = _Mark(bad=marks[later].bad)
                    else:
                        file.seek(0)
                        mark = _Mark(bad=mark.bad)
                    for records in self._read(file, name, mark):
                        marks[name] = mark
                        yield Page(records, self._cursor(marks))
                    marks[name] = mark
            except OSError as error:
                kind = type(error).__name__
                raise SourceUnavailable(
                    f"{name} cannot be read: {kind}", french=f"{name} ne peut pas être lu : {kind}"
                ) from error
        yield Page((), self._cursor(marks), behind=0)

    async def probe(self) -> Sequence[Finding]:
        """The folder is there and holds files of the expected names."""
        try:
            files = self._files()
        except SourceUnavailable as error:
            fix = "Create the folder, or correct `folder` in the pack."
            said = (f"{self.name} : {error.french}", "", "Créez ce dossier, ou corrigez folder dans le paquet.")
            return [Finding(error.code, Severity.ERROR, f"{self.name}: {error}", fix, who=Who.SYSADMIN, french=said)]
        wanted = ", ".join(self._patterns)
        found: list[Finding] = []
        if others := self._others(files):
            named = ", ".join(others[:_NAMED]) + (f" (+ {len(others) - _NAMED})" if len(others) > _NAMED else "")
            text = f"{self.name}: never read, as the name is not {wanted}: {named} in {self._folder}"
            fix = "Rename the file, save it in the form that the source's `format` reads, or set `pattern`."
            french = (
                f"{self.name} : jamais lu, car le nom n'est pas {wanted} : {named} dans {self._folder}",
                "",
                "Renommez le fichier, enregistrez-le comme le lit le format de la source, ou donnez pattern.",
            )
            found.append(Finding("source.file_ignored", Severity.WARNING, text, fix, who=Who.SYSADMIN, french=french))
        if not files:
            text = f"{self.name}: no file {wanted} in {self._folder}"
            french = (f"{self.name} : aucun fichier {wanted} dans {self._folder}", "", "Mettez-y un fichier.")
            fix = "Put a file there."
            found.append(Finding("source.no_files", Severity.WARNING, text, fix, who=Who.SYSADMIN, french=french))
        return found

    # ------------------------------------------------------------ pushes

    def pushed(self, data: bytes, form: str | None) -> Record:
        """The record in one submission as a line (ODK), an item (Kobo) or a row (CSV: an object of columns) has it.

        ``form`` stands for the beginning of a file name. Raises PushUnreadable.
        """
        try:
            body = exact_json(data.removeprefix(b"\xef\xbb\xbf"))
        except ValueError:
            raise PushUnreadable from None
        if not isinstance(body, dict):
            raise PushUnreadable
        if self._kind == "csv":
            if any(isinstance(cell, dict | list) for cell in body.values()):
                raise PushUnreadable
            cells = {column.strip(): str(cell).strip() for column, cell in body.items() if cell is not None}
            body = {column: cell for column, cell in cells.items() if column and cell}
        missing = [] if self._key_of(body) else [self._key[0]]
        missing += [] if self._form_of(body, form or "") else ["form"]
        if missing:
            raise PushUnreadable(missing)
        record = self._record(body, form or "", 0, deleted=self._deleted(body))
        if record.unreadable:
            raise PushUnreadable
        return record

    def newer(self, record: Record, revision: str, changed_at: datetime | None) -> bool:
        """By when the submission says it changed; a CSV row does not say."""
        return record.changed_at is not None and changed_at is not None and record.changed_at > changed_at

    # ------------------------------------------------------------ files

    def _files(self) -> dict[str, Path]:
        """Regular files by name, in the order of the names. Hidden files and links are left alone."""
        if not self._folder.is_dir():
            raise SourceUnavailable(
                f"there is no folder {self._folder}", french=f"il n'y a pas de dossier {self._folder}"
            )
        matching = {path for pattern in self._patterns for path in self._folder.glob(pattern)}
        return {name: path for path in sorted(matching) if (name := self._name_of(path))}

    def _name_of(self, path: Path) -> str:
        """The name of a regular file within the folder; empty for what is left alone."""
        name = path.relative_to(self._folder).as_posix()
        left = not path.is_file() or path.is_symlink() or path.name.startswith((".", "~")) or not name.isprintable()
        return "" if left else name

    def _others(self, files: Mapping[str, Path]) -> list[str]:
        """Files right in the folder that no pattern fits."""
        return sorted(name for path in self._folder.iterdir() if (name := self._name_of(path)) and name not in files)

    def _cursor(self, marks: Mapping[str, _Mark]) -> Cursor:
        return Cursor(orjson.dumps({name: mark.as_json() for name, mark in sorted(marks.items())}).decode())

    def _resume(self, file: BinaryIO, mark: _Mark, *, known: bool) -> bool:
        """Leave the file where reading goes on (its start if what was read has changed); False if nothing is new."""
        if not known:
            return True
        begun, rest = hashlib.sha256(), hashlib.sha256()
        _hash(file, begun, 0, mark.offset)
        end = _hash(file, rest, mark.offset)
        if mark.offset and _short(begun) != mark.digest:
            mark.offset, mark.line, mark.header, mark.delimiter = 0, 0, [], ""
            file.seek(0)
            return True
        file.seek(mark.offset)
        return (_short(rest) if end > mark.offset else "") != mark.tail

    def _read(self, file: BinaryIO, name: str, mark: _Mark) -> Iterator[list[Record]]:
        """Records of the file from where it stands, page by page; ``mark`` is always that of the page yielded."""
        was_bad, mark.bad = set(mark.bad), [number for number in mark.bad if 0 < number <= mark.line]
        begun, hashed = hashlib.sha256(), 0
        whole = self._kind == "kobo" or (self._kind != "csv" and name.endswith(".json"))
        reader = self._document(file, name, mark) if whole else self._lines(file, name, mark)
        page: list[Record] = []
        for number, record in reader:
            if number in was_bad and record.unreadable is None:
                was_bad.discard(number)
                page.append(self._withdrawn(name, number, record))
            page.append(record)
            if len(page) >= _PAGE:
                here = file.tell()
                hashed = _hash(file, begun, hashed, mark.offset)
                mark.digest, mark.tail = _short(begun), "unfinished"
                file.seek(here)
                yield page
                page = []
        rest = hashlib.sha256()
        _hash(file, begun, hashed, mark.offset)
        end = _hash(file, rest, mark.offset)
        mark.digest, mark.tail = _short(begun), _short(rest) if end > mark.offset else ""
        page += [self._withdrawn(name, number) for number in sorted(was_bad.difference(mark.bad))]
        if page:
            yield page

    def _withdrawn(self, name: str, number: int, beside: Record | None = None) -> Record:
        stream = self._form_of({}, name)
        revision = f"withdrawn/{beside.revision if beside else ''}"
        return Record(self.name, stream, f"{name}#{number}", revision, stream, {}, deleted=True)

    # ------------------------------------------------------------ lines

    def _lines(self, file: BinaryIO, name: str, mark: _Mark) -> Iterator[tuple[int, Record]]:
        for line in self._physical(file, mark.line):
            if line.too_long:
                record: Record | None = self._unreadable(name, line.number, line.data, "line.too_long", mark)
            elif self._kind == "csv":
                record = self._row(line, name, mark)
            else:
                record = self._submission(line, name, mark)
            if line.whole:
                mark.offset, mark.line = line.end, line.number
            if record is not None:
                yield line.number, record

    def _physical(self, file: BinaryIO, before: int) -> Iterator[_Line]:
        number = before
        while True:
            data = file.readline(self._max_line + 1)
            if not data:
                return
            number += 1
            too_long = len(data) > self._max_line
            rest = data
            while too_long and rest and not rest.endswith(b"\n"):
                rest = file.readline(self._max_line)
            # A quoted cell may hold newlines: a row goes on while its quotes are open.
            while self._kind == "csv" and not too_long and data.count(b'"') % 2 and data.endswith(b"\n"):
                rest = file.readline(self._max_line + 1)
                if not rest:
                    break
                number += 1
                data += rest
                too_long = len(data) > self._max_line
            whole = (rest or b"").endswith(b"\n")
            yield _Line(number, data, file.tell(), whole, too_long)

    def _submission(self, line: _Line, name: str, mark: _Mark) -> Record | None:
        data = line.data.removeprefix(b"\xef\xbb\xbf").strip()
        if not data:
            return None
        try:
            body = exact_json(data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            if not line.whole:  # still being written
                return None
            return self._unreadable(name, line.number, data, "line.not_json", mark)
        return self._record(body, name, line.number, deleted=self._deleted(body))

    def _row(self, line: _Line, name: str, mark: _Mark) -> Record | None:
        text = _text(line.data)
        if line.number == 1 or not mark.header:
            if line.whole and text.strip():
                mark.delimiter = self._delimiter or max(";,\t", key=text.count)
                mark.header = [cell.strip() for cell in next(csv.reader([text], delimiter=mark.delimiter))]
            return None
        try:
            cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=mark.delimiter, strict=True), [])
            if not any(cell.strip() for cell in cells):
                return None  # an empty line, or the row of empty cells that spreadsheets leave behind
        except csv.Error:
            cells = []
        if len(cells) != len(mark.header):
            if not line.whole:
                return None
            return self._unreadable(name, line.number, line.data, "row.columns", mark)
        named = zip(mark.header, (cell.strip() for cell in cells), strict=True)
        body = {column: cell for column, cell in named if column and cell}
        return self._record(body, name, line.number, deleted=self._deleted(body))

    # ------------------------------------------------------------ whole documents

    def _document(self, file: BinaryIO, name: str, mark: _Mark) -> Iterator[tuple[int, Record]]:
        """A whole export (Kobo: ``results``) or OData answer (ODK: ``value``), or a list of records, or one
        submission of ODK alone, known by its key; item numbers from 1, number 0 is the file itself."""
        file.seek(0)
        data = file.read(self._max_file + 1)
        mark.line = 0
        problem = "file.too_big" if len(data) > self._max_file else ""
        document: Any = None
        if not problem:
            try:
                document = exact_json(data.removeprefix(b"\xef\xbb\xbf"))
            except ValueError:
                problem = "file.not_json"
        under = "results" if self._kind == "kobo" else "value"
        items = document.get(under) if isinstance(document, dict) else document
        if under == "value" and isinstance(document, dict) and self._key_of(document):
            items = [document]  # one submission, saved by itself
        if not isinstance(items, list):
            yield 0, self._unreadable(name, 0, data, problem or "file.not_json", mark)
            return
        for number, item in enumerate(items, start=1):
            if isinstance(item, dict):
                yield number, self._record(item, name, number, deleted=self._deleted(item))
            else:
                yield number, self._unreadable(name, number, orjson.dumps(item), "line.not_json", mark)

    # ------------------------------------------------------------ records

    def _record(self, body: Mapping[str, Any], name: str, number: int, *, deleted: bool = False) -> Record:
        form = self._form_of(body, name)
        key = self._key_of(body)
        named = [str(value) for path in self._revision if (value := _at(body, path)) is not None]
        changed = next((at for path in self._format.changed if (at := _instant(_at(body, path)))), None)
        unreadable = None
        try:
            mark = digest(body)
        except TypeError:  # nested deeper than can be written: unreadable under its own key, so that an edit heals it
            mark, body, unreadable = digest(_cut(body, 100)), {}, "line.too_deep"
        revision = "/".join([*named, mark[:16]])
        if key is None:
            key = f"{name}#{number}"
        return Record(
            self.name, form, key, revision, form, body, deleted=deleted, changed_at=changed, unreadable=unreadable
        )

    def _key_of(self, body: Mapping[str, Any]) -> str | None:
        """None: there is none that could name a record."""
        key = next((str(value) for path in self._key if (value := _at(body, path)) not in (None, "")), None)
        return None if key and any(ord(letter) < 32 for letter in key) else key

    def _deleted(self, body: Mapping[str, Any]) -> bool:
        if self._kind == "csv":
            return str(body.get(self._action, "")).lower() == "delete"
        return self._kind != "kobo" and _at(body, "__system.deletedAt") is not None

    def _unreadable(self, name: str, number: int, data: bytes, reason: str, mark: _Mark) -> Record:
        if number not in mark.bad and len(mark.bad) < _BAD_KEPT:
            mark.bad.append(number)
        form = self._form_of({}, name)
        revision = hashlib.sha256(data).hexdigest()[:16]
        return Record(self.name, form, f"{name}#{number}", revision, form, {}, unreadable=reason)

    def _form_of(self, body: Mapping[str, Any], name: str) -> str:
        stem = Path(name).name.partition(".")[0].partition("-")[0]
        return str(self._form or body.get("_xform_id_string") or stem)


def _marks(since: Cursor | None) -> dict[str, _Mark]:
    """What a cursor says; a cursor of another time is none, and everything is read again."""
    try:
        return {name: _Mark(**mark) for name, mark in orjson.loads(since.value).items()} if since else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _cut(value: Any, levels: int) -> Any:
    """The value without what lies deeper."""
    if isinstance(value, dict):
        return {name: _cut(one, levels - 1) for name, one in value.items()} if levels else "..."
    if isinstance(value, list):
        return [_cut(one, levels - 1) for one in value] if levels else "..."
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not value or value == "digest":
        return ()
    return (value,) if isinstance(value, str) else tuple(str(name) for name in value)


def _at(body: Mapping[str, Any], path: str) -> Any:
    """The value under a flat name (``meta/rootUuid``) or a dotted path (``__system.edits``); None if absent."""
    if path in body:
        return body[path]
    value: Any = body
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _instant(value: Any) -> datetime | None:
    """A time of ODK or Kobo; one without a zone is UTC (sources-mali-indicators 1.4)."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _text(data: bytes) -> str:
    """UTF-8 with or without BOM, else what Excel in French writes."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _hash(file: BinaryIO, digest: Any, start: int, end: int | None = None) -> int:
    """Feed the bytes from ``start`` (to ``end``, or all) to the digest; returns where it stopped."""
    file.seek(start)
    while (end is None or start < end) and (part := file.read(1 << 20 if end is None else min(1 << 20, end - start))):
        digest.update(part)
        start += len(part)
    return start


def _short(digest: Any) -> str:
    return str(digest.hexdigest()[:16])
