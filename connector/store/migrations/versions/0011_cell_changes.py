"""Which records add something else to a figure than when it was accepted, not only which left it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

ADDRESS = ("indicator", "part", "org_unit", "period", "categories")


def upgrade() -> None:
    op.create_table(
        "cell_change",
        *(sa.Column(name, sa.Text, nullable=False) for name in (*ADDRESS, "record", "was", "at")),
        sa.PrimaryKeyConstraint(*ADDRESS, "record"),
    )
    names = ", ".join((*ADDRESS, "record", "at"))
    # what they added is not known any more; '?' is like nothing they could add now
    op.execute(f"INSERT INTO cell_change ({names}, was) SELECT {names}, '?' FROM departed")
    op.drop_table("departed")
