"""API tokens; how a target is doing since its last failure; what was tried of a subject."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "token",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("expires", sa.Text),
        sa.Column("revoked", sa.Text),
        sa.Column("last_used", sa.Text),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("key"),
    )
    op.add_column("target_state", sa.Column("good", sa.Integer))
    op.add_column("target_state", sa.Column("slow", sa.Boolean, nullable=False, server_default=sa.false()))
    tried = sa.column("state", sa.Text).in_(["deferred", "unknown"])
    op.create_index("ix_delivery_tried", "delivery", ["target", "subject"], sqlite_where=tried, postgresql_where=tried)
