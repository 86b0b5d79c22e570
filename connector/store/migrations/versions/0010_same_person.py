"""Ids that were declared to be one person, and what counts her once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "same_person",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("into_source", sa.Text, nullable=False),
        sa.Column("into_key", sa.Text, nullable=False),
        sa.Column("kept_source", sa.Text, nullable=False),
        sa.Column("kept_key", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("note_enc", sa.LargeBinary),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_same_person_kept", "same_person", ["kept_key"])
    op.create_table(
        "same_key",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kept", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_same_key_kept", "same_key", ["kept"])
    said = sa.text("distinct_key <> ''")
    op.create_index(
        "ix_contribution_distinct", "contribution", ["distinct_key"], sqlite_where=said, postgresql_where=said
    )
