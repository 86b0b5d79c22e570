"""Entries of the audit trail are found by their moment, so that those of one figure are."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index("ix_audit_at", "audit", ["at"])
