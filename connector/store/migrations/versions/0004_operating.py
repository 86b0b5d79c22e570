"""A target's pace after a failure; what is open of a subject; what a person chose to act on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("target_state", sa.Column("good", sa.Integer))
    op.add_column("target_state", sa.Column("slow", sa.Boolean, nullable=False, server_default=sa.false()))
    still = sa.column("state", sa.Text).in_(["pending", "deferred", "unknown"])
    op.create_index("ix_delivery_open", "delivery", ["target", "subject"], sqlite_where=still, postgresql_where=still)
    op.add_column("delivery", sa.Column("note_by", sa.Text))
    op.add_column("head", sa.Column("purged", sa.Text))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "selection",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "selection_delivery",
        sa.Column("selection", number, nullable=False),
        sa.Column("position", number, nullable=False),
        sa.Column("delivery", number, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("selection", "position"),
    )
