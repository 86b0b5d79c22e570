"""The fields of a form that nobody described: read off a sample record (JSON), the header of an export (CSV), or the
``survey`` sheet of an XLSForm saved as CSV, which also has the labels. For ``relais init``; of the values only codes
that look like options of a multiple choice are kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from connector.errors import ConfigError

#: Bytes read of a sample, and fields taken of it.
MAX_BYTES = 1_000_000
MAX_FIELDS = 500
#: A list of more options is one of places or people, not of answers to be counted.
MAX_OPTIONS = 40
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}/\d{2}/\d{4}")
_NUMBER = re.compile(r"-?\d+([.,]\d+)?")
_OPTIONS = re.compile(r"[a-z][a-z0-9_]*( [a-z][a-z0-9_]*)+")
#: A day that is made up, in the ways a day is written.
_MADE_DAY, _MADE_DAY_FRENCH, _MADE_MOMENT = "2026-07-09", "09/07/2026", "2026-07-09T08:00:00Z"
#: Both answers of a question about sex, the female one first.
SEXES = (("f", "m"), ("f", "h"), ("female", "male"), ("feminin", "masculin"), ("féminin", "masculin"),
          ("femme", "homme"), ("fille", "garcon"), ("fille", "garçon"))  # fmt: skip
_YES = {"yes", "no", "oui", "non", "true", "false"}
#: Types of a survey sheet that ask nothing.
_NO_QUESTION = ("begin", "end", "note", "start", "today", "deviceid", "username", "calculate", "hidden")


@dataclass(frozen=True, slots=True)
class Field:
    """``path``: as an expression of the pack reads it. ``kind``: boolean | zero_one (yes or no, or a number) | number |
    date | choices (several answers in one) | choice (one answer of a list) | list | text, a guess. ``made``: a value
    that is made up, written as the sample writes such a value. ``options``: those the form has, or those seen of a
    multiple choice; ``labels``: what each is called there, where that is known."""

    path: str
    label: str
    kind: str
    made: Any = "texte"
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last word of the path."""
        return re.split(r"[./]", self.path.replace("`", ""))[-1]

    @property
    def technical(self) -> bool:
        """Written by the app about the record, not an answer (``__system.deviceId``, ``_uuid``, ``meta/rootUuid``)."""
        return self.path.replace("`", "").startswith(("_", "meta.", "meta/"))

    @property
    def expression(self) -> str:
        if self.kind in ("boolean", "zero_one"):
            return f"$yes({self.path})"
        if self.kind == "choices":
            return self.chosen(self.options[0] if self.options else "option")
        return f"$num({self.path})" if self.kind == "number" else self.path

    def chosen(self, option: str) -> str:
        return f"$chosen({self.path}, '{option}')"


def fields_of(data: bytes, name: str, choices: bytes = b"") -> list[Field]:
    """The fields of a sample; ``name`` of the file says which kind it is. ``choices``: the sheet of that name of the
    XLSForm, as CSV. Raises ConfigError."""
    lists = choices_of(choices) if choices else {}
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES} bytes. Nothing was written. Give one record of it.",
            french=f"{name} dépasse {MAX_BYTES} octets. Rien n'a été écrit. Donnez-en une seule fiche.",
        )
    found = list(_of_csv(data, lists) if name.lower().endswith((".csv", ".tsv", ".txt")) else _of_json(data, name))
    if not found:
        raise ConfigError(
            f"There is no field in {name}. Nothing was written. Give a record, or an export with a header.",
            french=f"Il n'y a aucun champ dans {name}. Rien n'a été écrit. Donnez une fiche, ou un export avec "
            "sa ligne d'en-tête.",
        )
    return found[:MAX_FIELDS]


def _of_json(data: bytes, name: str) -> Iterator[Field]:
    try:
        value: Any = orjson.loads(data.decode("utf-8-sig"))
    except ValueError:
        try:
            value = orjson.loads(data.decode("utf-8-sig").strip().partition("\n")[0])  # one record per line
        except ValueError:
            raise ConfigError(
                f"{name} is no JSON. Nothing was written. Give one record as JSON, or a CSV.",
                french=f"{name} n'est pas du JSON. Rien n'a été écrit. Donnez une fiche en JSON, ou un CSV.",
            ) from None
    if isinstance(value, Mapping) and isinstance(value.get("value"), list):
        value = value["value"]  # an OData page of ODK
    if isinstance(value, Mapping) and isinstance(value.get("results"), list):
        value = value["results"]  # a page of Kobo
    if isinstance(value, list):
        value = value[0] if value else {}
    if isinstance(value, Mapping):
        yield from _walk(value, "")


def _walk(value: Mapping[str, Any], above: str) -> Iterator[Field]:
    for key, inner in value.items():
        path = f"{above}.{quoted(str(key))}" if above else quoted(str(key))
        if isinstance(inner, Mapping):
            yield from _walk(inner, path)
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
            yield Field(path, "", "list", [])
        else:
            yield _field(path, inner)


def quoted(key: str) -> str:
    """A name as JSONata reads it."""
    return key if _PLAIN.fullmatch(key) else f"`{key}`"


def _field(path: str, value: Any) -> Field:
    kind = kind_of(value)
    options = tuple(str(value).split()) if kind == "choices" else _sexes(value) if kind == "choice" else ()
    return Field(path, "", kind, _made(value, kind), options)


def _made(value: Any, kind: str) -> Any:
    """A value of the same kind and way of writing that tells nothing of the sample's."""
    text = str(value or "").strip()
    if isinstance(value, list):
        return []
    match kind:
        case "boolean":
            return True if isinstance(value, bool) else "oui" if text.lower() in ("oui", "non") else "yes"
        case "number":
            return "12" if isinstance(value, str) else 12
        case "date":
            return _MADE_DAY_FRENCH if "/" in text else _MADE_MOMENT if "T" in text else _MADE_DAY
        case "choices":
            return text
        case "choice" if sexes := _sexes(value):
            return sexes[0]
        case "zero_one":
            return "1"
    return "texte"


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    text = str(value or "").strip()
    if text.lower() in _YES:
        return "boolean"
    if text in ("0", "1"):
        return "zero_one"
    if _sexes(value):
        return "choice"
    if _OPTIONS.fullmatch(text):
        return "choices"
    if _DAY.match(text):
        return "date"
    return "number" if _NUMBER.fullmatch(text) else "text"


def _sexes(value: Any) -> tuple[str, ...]:
    """Of an answer that says a sex, both answers of that question."""
    word = str(value or "").strip().lower()
    return next((pair for pair in SEXES if word in pair), ())


def _table(data: bytes) -> tuple[list[str], Iterator[list[str]]]:
    text = data.decode("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(";,\t", key=first.count))
    return [key.strip() for key in next(rows, [])], rows


def _label(header: list[str], row: list[str]) -> str:
    """All labels of a row, in whatever languages."""
    return " ".join(
        cell.strip() for key, cell in zip(header, row, strict=False) if key.startswith("label") and cell.strip()
    )


def choices_of(data: bytes) -> dict[str, list[tuple[str, str]]]:
    """list -> (option, label) of the ``choices`` sheet of an XLSForm saved as CSV. Raises ConfigError."""
    header, rows = _table(data)
    names = [key.replace(" ", "_") for key in header]
    if len(data) > MAX_BYTES or "list_name" not in names or "name" not in names:
        raise ConfigError(
            f"This is no choices sheet: it needs the columns list_name and name, and up to {MAX_BYTES} bytes. "
            "Nothing was written. Save that sheet of the XLSForm as CSV.",
            french=f"Ce n'est pas une feuille choices : il lui faut les colonnes list_name et name, et {MAX_BYTES} "
            "octets au plus. Rien n'a été écrit. Enregistrez cette feuille de l'XLSForm en CSV.",
        )
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        one = dict(zip(names, row, strict=False))
        key, option = one.get("list_name", "").strip(), one.get("name", "").strip()
        if key and option:
            found.setdefault(key, []).append((option, _label(header, row)))
    return found


def _of_csv(data: bytes, lists: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[Field]:
    header, rows = _table(data)
    if "type" in header and "name" in header:
        yield from _of_survey(header, rows, lists)
        return
    values = next(rows, [])
    for number, key in enumerate(header):
        if key.strip():
            yield _field(quoted(key), values[number] if number < len(values) else "")


def _of_survey(
    header: list[str], rows: Iterator[list[str]], lists: Mapping[str, Sequence[tuple[str, str]]]
) -> Iterator[Field]:
    groups: list[str] = []
    for row in rows:
        one = dict(zip(header, row, strict=False))
        kind, name = one.get("type", "").strip(), one.get("name", "").strip()
        if kind.startswith("begin"):
            groups.append(name)
        elif kind.startswith("end"):
            groups = groups[:-1]
        elif name and not kind.startswith(_NO_QUESTION):
            label = _label(header, row)
            first, _, choices = (part.strip() for part in kind.partition(" "))
            known = lists.get(choices, ())
            yes = first == "select_one" and (set(choices.split("_")) <= _YES or choices in ("ouinon", "yesno"))
            if known and first in ("select_one", "select_multiple"):
                yield _of_list(".".join(map(quoted, [*groups, name])), label, first, known)
                continue
            guess = "boolean" if yes else _KINDS.get(first, "text")
            sample = {"number": 0, "date": _MADE_DAY, "boolean": "oui" if choices.startswith("oui") else "yes"}.get(
                guess, ""
            )
            made = "option" if first.startswith("select") and not yes else _made(sample, guess)
            yield Field(".".join(map(quoted, [*groups, name])), label, guess, made)


def _of_list(path: str, label: str, first: str, known: Sequence[tuple[str, str]]) -> Field:
    """A question whose options the form has."""
    options = tuple(option for option, _ in known)
    said = {option.lower() for option in options}
    kind = "choices" if first == "select_multiple" else "choice"
    if kind == "choice" and said <= _YES:
        kind = "boolean"
    elif kind == "choice" and said <= {"0", "1"}:
        kind = "zero_one"
    elif len(options) > MAX_OPTIONS:  # villages or sites: no code table
        return Field(path, label, "text" if kind == "choice" else kind, options[0])
    return Field(path, label, kind, options[0], options, tuple(text for _, text in known))


_KINDS = {
    "integer": "number", "decimal": "number", "range": "number", "date": "date", "datetime": "date",
    "select_multiple": "choices", "select_one": "choice",
}  # fmt: skip
