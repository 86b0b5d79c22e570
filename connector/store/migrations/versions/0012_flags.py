"""Records with an answer that could not be used are found without opening what is encrypted.

Those that are there get theirs when they are mapped again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("head", sa.Column("flags", sa.Text))
    flagged = sa.text("flags IS NOT NULL")
    op.create_index("ix_head_flagged", "head", ["id"], sqlite_where=flagged, postgresql_where=flagged)
