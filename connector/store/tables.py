"""The tables. One home for the schema; the named queries lie beside it.

A change here needs a migration (``migrations/README.md``); a test compares the two.

Columns ending in ``_enc`` are AES-256-GCM (``crypto.py``). Times are ISO 8601 UTC text with microseconds
(``2026-11-22T06:00:00.000000Z``), the same on SQLite and PostgreSQL, so that they sort as text.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")
#: Text compared byte by byte on both databases; PostgreSQL's own order is that of a language.
Sorted = Text().with_variant(Text(collation="C"), "postgresql")

#: Digits of an amount after the point.
PLACES = 4


@lru_cache(maxsize=10_000)
def stored(amount: Any) -> int:
    """An amount as it is kept: a whole number of ten-thousandths. SQLite has no decimals, and its SUM of anything but
    whole numbers is a binary float's."""
    return int(Decimal(amount).scaleb(PLACES).to_integral_value(ROUND_HALF_UP))


def amount(kept: Any) -> Decimal:
    """The amount again, of one row or of a SUM."""
    return Decimal(kept or 0).scaleb(-PLACES)


class Amount(TypeDecorator[Decimal]):
    """A decimal with four digits after the point, added up exactly on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:
        return None if value is None else stored(value)

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:
        return None if value is None else amount(value)


#: Facts about this database: pack_id, key check.
meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

#: One wrapped data key per table and month.
data_key = Table(
    "data_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created", Text, nullable=False),
)

source_state = Table(
    "source_state",
    metadata,
    Column("source", Text, primary_key=True),
    Column("cursor", Text, nullable=False, default=""),
    Column("instance", Text, nullable=False, default=""),
    Column("behind", Integer),
    Column("received", Integer, nullable=False, default=0),
    Column("last_success", Text),
    Column("last_record", Text),
    Column("due_at", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("reason", Text),
    Column("who", Text),
    Column("paused", Text),  #: JSON {reason, by, until, since} when paused
)

#: Bodies, once per revision, verbatim and encrypted.
body = Table(
    "body",
    metadata,
    Column("source", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
    Column("form", Text),
    Column("deleted", Boolean, nullable=False),
    Column("body_enc", LargeBinary),
    Column("unreadable", Text),
    Column("changed_at", Text),
    Column("received_at", Text, nullable=False),
)

#: The revision that counts now. ``state``: received | mapped | quarantined | ignored | deleted | vanished | erased.
head = Table(
    "head",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("record", Text, nullable=False, unique=True),  #: source/stream/key
    Column("source", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("form", Text),
    Column("deleted", Boolean, nullable=False),
    Column("dirty", Boolean, nullable=False),  #: must be mapped (again)
    Column("state", Text, nullable=False),
    Column("moves", Integer, nullable=False, default=1),
    Column("first_received", Text, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("purged", Text),  #: when its bodies were purged or erased; then it is not mapped again
    Column("flags", Text),  #: JSON [[code, fact]] of the answers that could not be used; NULL: none
)
Index("ix_head_dirty", head.c.id, sqlite_where=head.c.dirty, postgresql_where=head.c.dirty)
_flagged = head.c.flags.is_not(None)
Index("ix_head_flagged", head.c.id, sqlite_where=_flagged, postgresql_where=_flagged)

activity = Table(
    "activity",
    metadata,
    Column("record", Text, primary_key=True),  #: source/stream/key
    Column("revision", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("date", Text, nullable=False),
    Column("place", Text),
    Column("worker", Text),
    Column("subject", Text),
    Column("org_unit", Text),  #: nearest mapped DHIS2 org unit on the date
    Column("activity_enc", LargeBinary, nullable=False),  #: empty when purged
    Column("mapped_at", Text, nullable=False),
)
Index("ix_activity_subject", activity.c.subject)
Index("ix_activity_worker_date", activity.c.worker, activity.c.date)
Index("ix_activity_place_date", activity.c.place, activity.c.date)
Index("ix_activity_date", activity.c.date)

entity = Table(
    "entity",
    metadata,
    Column("source", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  #: person | place | worker
    Column("key", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("entity_enc", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("updated", Text, nullable=False),
    Column("parent", Text),  #: key of the place it belongs to
)
Index("ix_entity_record", entity.c.record)
Index("ix_entity_parent", entity.c.source, entity.c.parent)

#: One person registered twice: this id is another one of hers. ``into``: the id it was declared the same as; ``kept``:
#: the one id that all of hers are counted, sent and referred under. An id stands here once, so there is no circle.
same_person = Table(
    "same_person",
    metadata,
    Column("key", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("into_source", Text, nullable=False),
    Column("into_key", Text, nullable=False),
    Column("kept_source", Text, nullable=False),
    Column("kept_key", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("note_enc", LargeBinary),
)
Index("ix_same_person_kept", same_person.c.kept_key)

#: Keyed hash -> the one it is read as, of ``contribution.distinct_key`` and of ``member.key``.
same_key = Table(
    "same_key",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kept", Text, nullable=False),
)
Index("ix_same_key_kept", same_key.c.kept)

#: Which records may belong together: each under the keys it has for a kind of episode.
member = Table(
    "member",
    metadata,
    Column("record", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  #: of episode, or a register that looks at records
    Column("key", Text, primary_key=True),  #: keyed hash
    Column("opens", Boolean, nullable=False),  #: it may open an episode of this key
    Column("own", Boolean, nullable=False),  #: the key its episode is kept under
)
Index("ix_member_key", member.c.kind, member.c.key)

#: The episodes there are. What they add is in ``contribution`` under ``record``, where they are in ``activity``.
episode = Table(
    "episode",
    metadata,
    Column("record", Text, primary_key=True),  #: episode/kind/uuid
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),  #: keyed hash
)
Index("ix_episode_key", episode.c.kind, episode.c.key)

#: The records an episode was worked out from.
episode_record = Table(
    "episode_record",
    metadata,
    Column("episode", Text, primary_key=True),
    Column("record", Text, primary_key=True),
)
Index("ix_episode_record", episode_record.c.record)

#: What must be worked out again: episodes and lines of registers.
stale = Table(
    "stale",
    metadata,
    Column("what", Text, primary_key=True),  #: episode | entity | deployment
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
)

contribution = Table(
    "contribution",
    metadata,
    Column("record", Text, nullable=False),
    Column("indicator", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("org_unit", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("categories", Text, nullable=False),  #: "age=m2_11;sex=f", "" for none
    Column("amount", Amount, nullable=False),
    Column("distinct_key", Text, nullable=False, default=""),  #: keyed hash, "" when not distinct
    Column("date", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("moment", Sorted),  #: sorts the records of one key in time
    Column("at_least", Integer, nullable=False, server_default="1"),  #: so many of a key, or it does not count
)
Index(
    "ix_contribution_cell",
    contribution.c.indicator,
    contribution.c.part,
    contribution.c.org_unit,
    contribution.c.period,
    contribution.c.categories,
)
Index("ix_contribution_record", contribution.c.record)
_said = contribution.c.distinct_key != ""
Index("ix_contribution_distinct", contribution.c.distinct_key, sqlite_where=_said, postgresql_where=_said)

touched = Table(
    "touched",
    metadata,
    Column("indicator", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("org_unit", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("categories", Text, primary_key=True),
)

#: The recounted number, the value wanted at DHIS2 and what DHIS2 accepted. One row for ever once it was sent.
#: ``state``: wanted | accepted | rejected | held | kept | old (before live_from) | shadow.
cell = Table(
    "cell",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("indicator", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("org_unit", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("categories", Text, nullable=False),
    Column("data_set", Text, nullable=False),
    Column("data_element", Text, nullable=False),
    Column("combo", Text, nullable=False),  #: category option combo code, "default" for none
    Column("value", Text),  #: the figure as sent; NULL = no contribution any more
    Column("records", Integer, nullable=False, default=0),
    Column("accepted", Text),  #: the value the target holds from us; NULL = never accepted, "" = deleted there
    Column("accepted_at", Text),
    Column("there", Text),  #: a value found there that is not ours
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("released", Text),  #: overwrite | keep, by a person
    Column("version", Text),  #: of the indicator it was counted by
    Column("updated", Text, nullable=False),
    UniqueConstraint("indicator", "part", "org_unit", "period", "categories", name="uq_cell"),
)
Index("ix_cell_block", cell.c.data_set, cell.c.org_unit, cell.c.period)
Index("ix_cell_element", cell.c.data_element, cell.c.org_unit, cell.c.period, cell.c.combo)

#: Every value ever sent, why, and what became of it (the page of one value).
value_sent = Table(
    "value_sent",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("cell", _Id, nullable=False),
    Column("attempt", _Id, nullable=False),
    Column("value", Text),  #: NULL = deletion
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("at", Text, nullable=False),
)
Index("ix_value_sent_cell", value_sent.c.cell)

delivery = Table(
    "delivery",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),  #: block | completion | referral | resource | answer
    Column("record", Text),  #: the record it comes from, where there is one
    Column("subject", Text),  #: deliveries of one subject keep their order
    Column("generation", Integer, nullable=False),
    Column("digest", Text, nullable=False),  #: "" = wanted gone (delete or entered-in-error)
    Column("payload_enc", LargeBinary),  #: NULL where it is rebuilt on demand
    Column("state", Text, nullable=False),
    Column("step", Text, nullable=False, default=""),
    Column("remote", Text, nullable=False, default="{}"),
    Column("tries", Integer, nullable=False, default=0),
    Column("unsure", Boolean, nullable=False, default=False),
    Column("due_at", Text, nullable=False),
    Column("lease_until", Text),
    Column("lease_by", Text),
    Column("accepted_digest", Text),
    Column("accepted_generation", Integer),
    Column("accepted_at", Text),
    Column("reason", Text),
    Column("who", Text),
    Column("note", Text),
    Column("note_by", Text),  #: the person whose note it is
    Column("wanted_at", Text, nullable=False),
    Column("updated", Text, nullable=False),
    UniqueConstraint("target", "key", name="uq_delivery"),
)
Index("ix_delivery_due", delivery.c.target, delivery.c.state, delivery.c.due_at, delivery.c.id)
Index("ix_delivery_record", delivery.c.record)
_open = delivery.c.state.in_(["pending", "deferred", "unknown"])
Index("ix_delivery_open", delivery.c.target, delivery.c.subject, sqlite_where=_open, postgresql_where=_open)

#: What a person approved to leave for DHIS2, for ever; the newest of a block counts.
approval = Table(
    "approval",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("data_set", Text, nullable=False),
    Column("org_unit", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("figures", Text, nullable=False),  #: canonical JSON {cell: value}; "" = nothing there any more
    Column("digest", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)
Index("ix_approval_block", approval.c.data_set, approval.c.org_unit, approval.c.period, approval.c.id)

#: Deliveries a person chose to act on, frozen when chosen. ``state``: open | done | cancelled.
selection = Table(
    "selection",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("what", Text, nullable=False),  #: retry
    Column("filter", Text, nullable=False),  #: canonical JSON of the filter, {} when they were named one by one
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", Text),
)

selection_delivery = Table(
    "selection_delivery",
    metadata,
    Column("selection", _Id, primary_key=True),
    Column("position", _Id, primary_key=True),  #: order in which they were received
    Column("delivery", _Id, nullable=False),
    Column("outcome", Text),  #: NULL (not yet) | retried | quiet | held_already | moved_on
)

#: What a person was shown before it was sent. ``target``, ``period``: "" for all.
plan = Table(
    "plan",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("pack", Text, nullable=False),  #: version of the pack
    Column("digest", Text, nullable=False),  #: over the pack's version and every delivery below; "" while it is made
    Column("summary", Text, nullable=False),  #: JSON of its counts
    Column("done", Text),  #: when it was carried out
)

plan_delivery = Table(
    "plan_delivery",
    metadata,
    Column("plan", _Id, primary_key=True, autoincrement=False),
    Column("delivery", _Id, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("mark", Text, nullable=False),  #: digest of the values of a block, else of the wanted state
)

#: Records that add something else to a cell than when its value was accepted, so that a change can be explained: just
#: those, a record that adds the same again is taken out. Cells of which nothing was ever sent have none.
cell_change = Table(
    "cell_change",
    metadata,
    Column("indicator", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("org_unit", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("categories", Text, primary_key=True),
    Column("record", Text, primary_key=True),
    Column("was", Text, nullable=False),  #: what it added then (``contributing``); "" = nothing
    Column("at", Text, nullable=False),
)

#: One request (or step of one); written before it leaves.
attempt = Table(
    "attempt",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("ended", Text),
    Column("size", Integer, nullable=False),  #: deliveries in it
    Column("verdict", Text, nullable=False),  #: the worst of them; open until read
    Column("run", Text),
)

attempt_delivery = Table(
    "attempt_delivery",
    metadata,
    Column("attempt", _Id, primary_key=True),
    Column("delivery", _Id, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("http_status", Integer),
    Column("answer_enc", LargeBinary),
)
Index("ix_attempt_delivery", attempt_delivery.c.delivery)

target_state = Table(
    "target_state",
    metadata,
    Column("target", Text, primary_key=True),
    Column("due_at", Text),
    Column("breaker", Text, nullable=False, default="closed"),  #: closed | open | half_open
    Column("failures", Integer, nullable=False, default=0),
    Column("refusals", Integer, nullable=False, default=0),  #: credentials refused in a row
    Column("good", Integer),  #: how many may leave together; NULL: no failure that still counts
    Column("reason", Text),
    Column("who", Text),
    Column("last_success", Text),
    Column("last_try", Text),
    Column("paused", Text),
)

lane = Table(
    "lane",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("fence", Integer, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("form", Text),
    Column("code", Text, nullable=False),
    Column("path", Text),
    Column("file", Text),
    Column("line", Integer),
    Column("detail", Text),
    Column("who", Text, nullable=False),
    Column("version", Text),
    Column("at", Text, nullable=False),
    UniqueConstraint("source", "stream", "key", name="uq_quarantine"),
)

#: Referrals and what the clinic answered. ``state``: waiting_person | old | sent | arrived | completed | missed |
#: cancelled | voided.
referral = Table(
    "referral",
    metadata,
    Column("record", Text, primary_key=True),
    Column("subject", Text),
    Column("worker", Text),
    Column("to_place", Text),
    Column("date", Text, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("reason", Text),
    Column("state", Text, nullable=False),
    Column("remote", Text, nullable=False, default="{}"),
    Column("answered_at", Text),
    Column("answer_enc", LargeBinary),
    Column("updated", Text, nullable=False),
)

#: Whom a person of the clinic must look at before a patient is made for one of ours, and what that person said. One
#: row per person and target, kept for ever: nobody is asked twice.
match_review = Table(
    "match_review",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),  #: the person's id in the source app
    Column("asked", Text, nullable=False),
    Column("decision", Text),  #: same | new; NULL = nobody has said
    Column("patient", Text),  #: of ``same``: the id at the target
    Column("by", Text),
    Column("at", Text),
    Column("match_enc", LargeBinary),  #: candidates; once decided only what a merge is followed by, and the note
    UniqueConstraint("target", "key", name="uq_match_review"),
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("ended", Text),
    Column("outcome", Text),
    Column("summary", Text),
)

#: One fire per (schedule, due time), so that a second process cannot double it.
fire = Table(
    "fire",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("due", Text, primary_key=True),
    Column("started", Text, nullable=False),
    Column("ended", Text),
    Column("outcome", Text),
)

#: Last results per connection (the ``.beat`` of the overview): ok | deferred | refused | nothing.
beat = Table(
    "beat",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("connection", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("result", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("who", Text, nullable=False),  #: system, or the user name's keyed hash
    Column("subject", Text, nullable=False, default=""),  #: keyed hash of the id concerned
    Column("detail", Text, nullable=False, default="{}"),  #: canonical JSON, no personal data
    Column("digest", Text, nullable=False),  #: SHA-256 over every column above
    Column("sequence", _Id),
    Column("previous", Text),
    Column("hash", Text),
)
Index("ix_audit_sequence", audit.c.sequence, unique=True)
Index("ix_audit_at", audit.c.at)

audit_head = Table(
    "audit_head",
    metadata,
    Column("sequence", _Id, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("signature", Text, nullable=False),
)

user = Table(
    "user",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False),  #: argon2id
    Column("role", Text, nullable=False),  #: viewer | operator | clinic | admin
    Column("created", Text, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until", Text),
)

#: Keys of machines to the API. The token itself is kept nowhere.
token = Table(
    "token",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  #: the part of the token that finds this row
    Column("digest", Text, nullable=False),  #: SHA-256 of the whole token
    Column("role", Text, nullable=False),  #: submit | observe | viewer | operator | clinic | admin
    Column("source", Text),  #: the only source it may push to; NULL = all
    Column("created", Text, nullable=False),
    Column("expires", Text),  #: NULL = never
    Column("revoked", Text),
    Column("last_used", Text),  #: to the minute
)
