"""Plans, what left a figure since it was accepted, and the version a figure was made by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("cell", sa.Column("version", sa.Text))
    op.create_table(
        "plan",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("pack", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("done", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "plan_delivery",
        sa.Column("plan", number, autoincrement=False, nullable=False),
        sa.Column("delivery", number, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("plan", "delivery"),
    )
    op.create_table(
        "departed",
        sa.Column("indicator", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("org_unit", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("indicator", "part", "org_unit", "period", "categories", "record"),
    )
