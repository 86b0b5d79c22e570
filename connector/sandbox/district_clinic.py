"""What the clinic's staff decides about a referral, and when the patient is seen: by seed and number alone."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Any

from connector.sandbox import openmrs_metadata
from connector.sandbox.district_people import Calendar

#: What the staff does with a referral, of a hundred.
DECISIONS = (
    ("completed", 45), ("arrived", 15), ("missed", 12), ("cancelled", 8), ("voided", 5), (None, 15),
)  # fmt: skip
ADVICE = (
    "Continuer le traitement, revoir dans 3 jours", "Surveiller la température, revenir si fièvre",
    "Donner le SRO après chaque selle liquide", "Visite à domicile à J+2", "Peser chaque semaine",
)  # fmt: skip
#: Of ten patients who are seen: days after the referral, hour and minute.
SEEN = (
    (0, 20, 5), (0, 20, 40), (0, 21, 10), (1, 8, 50), (1, 10, 15), (1, 11, 0), (1, 14, 30), (2, 9, 20), (2, 10, 45),
    (4, 10, 0),
)  # fmt: skip


def luck(seed: int, number: str) -> int:
    return int(hashlib.sha256(f"{seed}/staff/{number}".encode()).hexdigest(), 16)


def decide(seed: int, number: str) -> dict[str, Any] | None:
    """``{"act", "diagnosis"?, "advice"?}``, or None: nobody touched it."""
    dice = luck(seed, number)
    share = dice % 100
    act: str | None = None
    for decided, part in DECISIONS:
        if 0 <= share < part:
            act = decided
        share -= part
    if act is None:
        return None
    decision: dict[str, Any] = {"act": act}
    if act == "completed":
        codes = sorted(openmrs_metadata.DIAGNOSES)
        decision["diagnosis"] = f"CIEL:{codes[dice // 100 % len(codes)]}"
        if dice // 1000 % 4:
            decision["advice"] = ADVICE[dice // 10000 % len(ADVICE)]
    return decision


def seen_at(seed: int, calendar: Calendar, number: str, referred: date) -> datetime:
    """When a patient referred on this day is seen, if she is."""
    days, hour, minute = SEEN[luck(seed, number) // 1_000_000 % len(SEEN)]
    return calendar.moment(referred + timedelta(days=days), hour, minute)
