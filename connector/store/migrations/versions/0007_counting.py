"""Counting over several records: the order of a key's records, episodes and their members, registers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    ordered = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("contribution", sa.Column("moment", ordered))
    op.add_column("contribution", sa.Column("at_least", sa.Integer, nullable=False, server_default="1"))
    # Purged records are not mapped again: of them the day decides, then the id.
    op.execute("UPDATE contribution SET moment = date || ' ~ ' || record WHERE distinct_key <> ''")
    op.create_index("ix_activity_date", "activity", ["date"])
    op.add_column("entity", sa.Column("parent", sa.Text))
    op.create_index("ix_entity_parent", "entity", ["source", "parent"])
    op.create_table(
        "member",
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("opens", sa.Boolean, nullable=False),
        sa.Column("own", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("record", "kind", "key"),
    )
    op.create_index("ix_member_key", "member", ["kind", "key"])
    op.create_table(
        "episode",
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("record"),
    )
    op.create_index("ix_episode_key", "episode", ["kind", "key"])
    op.create_table(
        "episode_record",
        sa.Column("episode", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("episode", "record"),
    )
    op.create_index("ix_episode_record", "episode_record", ["record"])
    op.create_table(
        "stale",
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("what", "kind", "key"),
    )
