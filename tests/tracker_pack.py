"""The shipped pack with a tracker: what ``docs/informatician.md`` shows, tried."""

from __future__ import annotations

TRACKER_YAML = """\
program: TR_ENFANTS          # its code in DHIS2; it must register people
level: site                  # events are written at this level of org_units.csv

attributes:                  # of the person: code in DHIS2 -> id, or a fact of the form that registers her
  TR_ID: id                  # a unique attribute, so that nobody is registered twice
  TR_NOM: name
  TR_NAISSANCE: birth_date   # left out when only the year or month is known
  TR_SEXE: {fact: sex, codes: {female: F, male: M}}

stages:
  - id: TR_VISITE            # the stage's code, or its UID where it has no code; it must be repeatable
    activity: sick_visit     # every record of this kind is one event
    data_elements:           # code in DHIS2 -> fact
      TR_FIEVRE: fever
      TR_TDR: {fact: malaria_rdt, codes: {positive: POS, negative: NEG}}
      TR_PB: muac_mm
"""

TARGET_YAML = """\
  suivi:                     # people and visits, one by one
    kind: dhis2_tracker
    url: ${RELAIS_DHIS2_URL}
    token: ${RELAIS_DHIS2_TOKEN}
    schedule: every 30m
    live_from: 2026-08-01    # older visits are never sent
"""
