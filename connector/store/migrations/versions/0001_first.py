"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("mapping", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("date", sa.Text, nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("worker", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("org_unit", sa.Text),
        sa.Column("activity_enc", sa.LargeBinary, nullable=False),
        sa.Column("mapped_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("record"),
    )
    op.create_index("ix_activity_place_date", "activity", ["place", "date"])
    op.create_index("ix_activity_subject", "activity", ["subject"])
    op.create_index("ix_activity_worker_date", "activity", ["worker", "date"])
    op.create_table(
        "attempt",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("run", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "attempt_delivery",
        sa.Column("attempt", _Id, nullable=False),
        sa.Column("delivery", _Id, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("http_status", sa.Integer),
        sa.Column("answer_enc", sa.LargeBinary),
        sa.PrimaryKeyConstraint("attempt", "delivery"),
    )
    op.create_index("ix_attempt_delivery", "attempt_delivery", ["delivery"])
    op.create_table(
        "audit",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("sequence", _Id),
        sa.Column("previous", sa.Text),
        sa.Column("hash", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_sequence", "audit", ["sequence"], unique=True)
    op.create_table(
        "audit_head",
        sa.Column("sequence", _Id, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_table(
        "beat",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "body",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("form", sa.Text),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("body_enc", sa.LargeBinary),
        sa.Column("unreadable", sa.Text),
        sa.Column("changed_at", sa.Text),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source", "stream", "key", "revision"),
    )
    op.create_table(
        "cell",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("indicator", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("org_unit", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.Column("data_set", sa.Text, nullable=False),
        sa.Column("data_element", sa.Text, nullable=False),
        sa.Column("combo", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("accepted", sa.Text),
        sa.Column("accepted_at", sa.Text),
        sa.Column("there", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("released", sa.Text),
        sa.Column("updated", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("indicator", "part", "org_unit", "period", "categories", name="uq_cell"),
    )
    op.create_index("ix_cell_block", "cell", ["data_set", "org_unit", "period"])
    op.create_index("ix_cell_element", "cell", ["data_element", "org_unit", "period", "combo"])
    op.create_table(
        "contribution",
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("indicator", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("org_unit", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=4), nullable=False),
        sa.Column("distinct_key", sa.Text, nullable=False),
        sa.Column("date", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
    )
    op.create_index("ix_contribution_cell", "contribution", ["indicator", "part", "org_unit", "period", "categories"])
    op.create_index("ix_contribution_record", "contribution", ["record"])
    op.create_table(
        "data_key",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("record", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("payload_enc", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("remote", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("unsure", sa.Boolean, nullable=False),
        sa.Column("due_at", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Text),
        sa.Column("lease_by", sa.Text),
        sa.Column("accepted_digest", sa.Text),
        sa.Column("accepted_generation", sa.Integer),
        sa.Column("accepted_at", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("who", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("wanted_at", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("target", "key", name="uq_delivery"),
    )
    op.create_index("ix_delivery_due", "delivery", ["target", "state", "due_at", "id"])
    op.create_index("ix_delivery_record", "delivery", ["record"])
    op.create_table(
        "entity",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("entity_enc", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source", "kind", "key"),
    )
    op.create_index("ix_entity_record", "entity", ["record"])
    op.create_table(
        "fire",
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("due", sa.Text, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("schedule", "due"),
    )
    op.create_table(
        "head",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("form", sa.Text),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("dirty", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("moves", sa.Integer, nullable=False),
        sa.Column("first_received", sa.Text, nullable=False),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("record"),
    )
    op.create_index("ix_head_dirty", "head", ["id"], sqlite_where=sa.text("dirty"), postgresql_where=sa.text("dirty"))
    op.create_table(
        "lane",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("form", sa.Text),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("path", sa.Text),
        sa.Column("file", sa.Text),
        sa.Column("line", sa.Integer),
        sa.Column("detail", sa.Text),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "stream", "key", name="uq_quarantine"),
    )
    op.create_table(
        "referral",
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("worker", sa.Text),
        sa.Column("to_place", sa.Text),
        sa.Column("date", sa.Text, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("remote", sa.Text, nullable=False),
        sa.Column("answered_at", sa.Text),
        sa.Column("answer_enc", sa.LargeBinary),
        sa.Column("updated", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("record"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("summary", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "source_state",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("behind", sa.Integer),
        sa.Column("received", sa.Integer, nullable=False),
        sa.Column("last_success", sa.Text),
        sa.Column("last_record", sa.Text),
        sa.Column("due_at", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("who", sa.Text),
        sa.Column("paused", sa.Text),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_table(
        "target_state",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("due_at", sa.Text),
        sa.Column("breaker", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("refusals", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("who", sa.Text),
        sa.Column("last_success", sa.Text),
        sa.Column("last_try", sa.Text),
        sa.Column("paused", sa.Text),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "touched",
        sa.Column("indicator", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("org_unit", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("indicator", "part", "org_unit", "period", "categories"),
    )
    op.create_table(
        "user",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", sa.Text),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "value_sent",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("cell", _Id, nullable=False),
        sa.Column("attempt", _Id, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_value_sent_cell", "value_sent", ["cell"])
