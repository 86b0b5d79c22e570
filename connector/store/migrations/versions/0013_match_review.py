"""Whom a person of the clinic must look at before a patient is made, and what that person said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "match_review",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("decision", sa.Text),
        sa.Column("patient", sa.Text),
        sa.Column("by", sa.Text),
        sa.Column("at", sa.Text),
        sa.Column("match_enc", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("target", "key", name="uq_match_review"),
    )
