"""Single answers as the oracle reads them, whatever the app writes them as."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> float | int | None:
    """A number as number or as text, with a decimal comma; None when there is none."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = float(value.replace(",", ".").strip())
    return int(value) if float(value).is_integer() else float(value)


def yes(value: Any) -> bool | None:
    """True, False, or None when it was not asked."""
    if value in ("yes", "oui", "true", True):
        return True
    if value in ("no", "non", "false", False):
        return False
    return None


def put(answers: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != "":
        answers[name] = value
