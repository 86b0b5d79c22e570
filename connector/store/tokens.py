"""Named queries of API tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

KEEP = text(
    "INSERT INTO token (name, key, digest, role, source, created, expires) "
    "VALUES (:name, :key, :digest, :role, :source, :now, :expires) "
    "ON CONFLICT (name) DO UPDATE SET key=excluded.key, digest=excluded.digest, role=excluded.role, source=excluded.source, "
    "created=excluded.created, expires=excluded.expires, revoked=NULL, last_used=NULL"
)


class TokenQueries:
    connection: Connection

    def keep_token(self, **values: Any) -> None:
        """A new token; it takes the place of one of the same name."""
        self.connection.execute(KEEP, values)

    def token(self, name: str) -> dict[str, Any] | None:
        found = self.connection.execute(text("SELECT * FROM token WHERE name=:n"), {"n": name}).mappings().first()
        return dict(found) if found else None

    def token_of_key(self, key: str) -> dict[str, Any] | None:
        found = self.connection.execute(text("SELECT * FROM token WHERE key=:k"), {"k": key}).mappings().first()
        return dict(found) if found else None

    def tokens(self) -> list[dict[str, Any]]:
        return [dict(r) for r in self.connection.execute(text("SELECT * FROM token ORDER BY name")).mappings()]

    def revoke_token(self, name: str, now: str) -> None:
        self.connection.execute(text("UPDATE token SET revoked=:now WHERE name=:n"), {"n": name, "now": now})

    def token_used(self, name: str, now: str) -> None:
        self.connection.execute(text("UPDATE token SET last_used=:now WHERE name=:n"), {"n": name, "now": now})
