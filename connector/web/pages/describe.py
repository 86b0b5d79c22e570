"""What a delivery is and where it stands, in words; shared by the list, the page of one and the page of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from connector.web.names import short
from connector.web.reading import Row
from connector.web.reading.deliveries import block_of
from connector.web.render import View


@dataclass(frozen=True, slots=True)
class Described:
    id: int
    what: str  #: data set, or the kind of thing
    place: str  #: org unit, empty where there is none
    above: str
    month: str  #: period code, empty where there is none
    record: str  #: record id, empty for totals
    target: str
    state: str  #: key of a pill, ``d.*``
    accepted: int | None
    refused: int | None

    @property
    def name(self) -> str:
        return f"d-{self.id}"


def describe(view: View, row: Row, counts: Mapping[str, Mapping[str, int]] | None = None) -> Described:
    """``counts``: per block key the values at each verdict (``reading.deliveries.value_counts``)."""
    names, w = view.names, view.w
    block = block_of(row["key"])
    by_verdict = (counts or {}).get(row["key"])
    if row["kind"] == "block":
        accepted = (by_verdict or {}).get("accepted", 0)
        refused = (by_verdict or {}).get("rejected", 0)
    else:
        accepted, refused = int(row["state"] == "accepted"), int(row["state"] == "parked" and not row["note"])
    if block:
        what = names.data_set(block[0])
        if row["kind"] == "completion":
            what = str(w("delivery.completion", what=what))
        return Described(
            row["id"],
            what,
            names.unit(block[1]),
            names.above(block[1]),
            block[2],
            "",
            names.connection(row["target"]),
            state_of(row, accepted, refused),
            accepted,
            refused,
        )
    what = str(w("delivery.kind." + row["kind"])) if w.has("delivery.kind." + row["kind"]) else row["kind"]
    if row["kind"] == "resource":
        what = f"{what} {row['key'].split('/')[0]}"
    record = row["record"] or (row["key"] if row["kind"] == "referral" else "") or ""
    return Described(
        row["id"],
        what,
        "",
        "",
        "",
        record,
        names.connection(row["target"]),
        state_of(row, accepted, refused),
        accepted,
        refused,
    )


def state_of(row: Row, accepted: int, refused: int) -> str:
    """The word for a delivery. A delivery a target refused is parked; one a person parked carries a note."""
    if row["state"] == "parked":
        if row["note"]:
            return "d.parked"
        return "d.partly" if accepted and refused else "d.rejected"
    return f"d.{row['state']}"


def title(view: View, one: Described) -> str:
    parts = (
        [one.what, one.place, view.w.period(one.month)]
        if one.place
        else [one.what, short(one.record) if one.record else ""]
    )
    return ", ".join(p for p in parts if p)


def record_url(record: str) -> str:
    return "/fiches/" + quote(record)


def value_url(element: str, org_unit: str, period: str, combo: str) -> str:
    return "/valeur?" + urlencode({"de": element, "ou": org_unit, "pe": period, "co": combo})
