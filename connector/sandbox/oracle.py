"""The sandbox's own account of what is true: counted from the raw records, compared with what the targets hold.

``read`` (``oracle_records``) -> figures, referrals, answers, resources -> ``compare``. Nothing here imports the
connector; two independent readings of the same definitions meet only in the comparison.
"""

from __future__ import annotations

from connector.sandbox.oracle_compare import compare, expected_from, figures, same
from connector.sandbox.oracle_fhir import expected_resources, held_resources
from connector.sandbox.oracle_figures import (
    all_figures,
    counted_values,
    expected_attention,
    expected_completions,
    expected_values,
    records_of_district,
    truth_of,
)
from connector.sandbox.oracle_records import Rec, Truth, read
from connector.sandbox.oracle_referrals import expected_answers, expected_referrals, held_answers, held_referrals

__all__ = [
    "Rec",
    "Truth",
    "all_figures",
    "compare",
    "counted_values",
    "expected_answers",
    "expected_attention",
    "expected_completions",
    "expected_from",
    "expected_referrals",
    "expected_resources",
    "expected_values",
    "figures",
    "held_answers",
    "held_referrals",
    "held_resources",
    "read",
    "records_of_district",
    "same",
    "truth_of",
]
