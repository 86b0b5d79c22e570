"""Amounts as whole numbers of ten-thousandths: SQLite kept a decimal as a binary float and added floats up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("UPDATE contribution SET amount = CAST(ROUND(amount * 10000) AS INTEGER)")
    with op.batch_alter_table("contribution") as table:
        table.alter_column(
            "amount",
            existing_type=sa.Numeric(20, 4),
            type_=sa.BigInteger,
            postgresql_using="CAST(ROUND(amount * 10000) AS BIGINT)",
        )
    op.execute("DELETE FROM meta WHERE key = 'schema'")  # Alembic keeps the version now
