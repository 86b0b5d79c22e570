"""One number says how many deliveries may leave together after a failure."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_column("target_state", "slow")
