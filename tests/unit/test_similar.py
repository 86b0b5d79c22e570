"""Names that are alike: what is proposed, and what never is."""

from __future__ import annotations

from math import isclose, log, sqrt

import pytest

from connector.mappings.similar import Similar, words_of

#: Names as in a ministry's monthly report, and fields as CHW apps call them; the right pairs were set by hand.
ELEMENTS = {
    "E1": "Nombre de TDR réalisés chez les enfants de moins de 5 ans",
    "E2": "Nombre de TDR positifs",
    "E3": "Cas de paludisme simple traités par CTA",
    "E4": "Cas de paludisme grave référés",
    "E5": "Enfants dépistés au périmètre brachial (PB)",
    "E6": "Cas de malnutrition aiguë sévère (MAS) dépistés",
    "E7": "Cas de malnutrition aiguë modérée (MAM) dépistés",
    "E8": "Cas de diarrhée traités par SRO et zinc",
    "E9": "Femmes enceintes vues en consultation prénatale (CPN1)",
    "E10": "Accouchements à domicile",
    "E11": "Visites à domicile réalisées par les ASC",
    "E12": "Enfants de sexe féminin vaccinés",
    "E13": "Enfants de sexe masculin vaccinés",
    "E14": "Décès maternels notifiés",
}
FIELDS = {
    "tdr_pos": "E2",
    "palu_grave_refere": "E4",
    "diarrhee_sro_zinc": "E8",
    "cpn1 Première consultation prénatale": "E9",
    "accouch_domicile": "E10",
    "nb_vad": "E11",
    "depistage_pb": "E5",
    "deces_maternel": "E14",
    "vaccination_fille": "E12",
    "cas_mam": "E7",
}


@pytest.mark.parametrize(("field", "wanted"), FIELDS.items())
def test_the_right_name_is_among_the_first_three(field: str, wanted: str) -> None:
    assert wanted in [one.name for one in Similar(ELEMENTS).top(field)]


@pytest.mark.parametrize(
    ("field", "never"),
    [
        ("mas_depiste", "E7"),
        ("mam_depiste", "E6"),
        ("vaccines_filles", "E13"),
        ("palu_refere", "E3"),
        ("garcons", "E12"),
    ],
)
def test_names_that_mean_the_opposite_are_never_proposed(field: str, never: str) -> None:
    found = [one.name for one in Similar(ELEMENTS).top(field, 14)]
    assert found and never not in found


def test_a_name_is_most_like_itself_and_nothing_is_like_nothing() -> None:
    similar = Similar(ELEMENTS)
    for code, name in ELEMENTS.items():
        best = similar.top(name)[0]
        assert (best.name, best.score) == (code, 1.0)
    assert similar.top("xyz qqq") == [] and similar.top("") == [] and Similar({}).top("fever") == []


def test_scores_fall_and_the_words_in_common_are_told() -> None:
    found = Similar(ELEMENTS).top("Visites à domicile")
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0].name == "E11" and found[0].words == ("visites", "domicile")


def test_names_of_apps_come_apart() -> None:
    assert words_of("groupe/ŒdèmesBilatéraux_2") == ("groupe", "oedemes", "bilateraux", "2")


def parts(word: str) -> list[str]:
    padded = f" {word} "
    return [padded[i : i + size] for size in (3, 4) for i in range(len(padded)) if i + size <= len(padded)]


@pytest.mark.parametrize("asked", ["abcd", "abcx", "xycd", "bcbcb"])
def test_a_part_counts_by_how_often_it_comes_and_how_rare_it_is(asked: str) -> None:
    """The cosine of smoothed TF-IDF, worked out by hand: log((1 + all) / (1 + with it)) + 1; one that no known name
    has is as rare as can be."""
    known = {"K1": "abcd", "K2": "abce", "K3": "bcdbc", "K4": "mnop"}

    def weighed(word: str) -> dict[str, float]:
        pieces = parts(word)
        return {
            piece: pieces.count(piece) * (log(5 / (1 + sum(piece in parts(one) for one in known.values()))) + 1)
            for piece in pieces
        }

    wanted = {}
    for name, word in known.items():
        a, b = weighed(asked), weighed(word)
        dot = sum(weight * b.get(piece, 0) for piece, weight in a.items())
        wanted[name] = dot / sqrt(sum(w * w for w in a.values())) / sqrt(sum(w * w for w in b.values()))
    found = {one.name: one.score for one in Similar(known).top(asked, 4)}
    assert set(found) == {name for name, score in wanted.items() if score > 0}
    assert all(isclose(found[name], wanted[name], abs_tol=0.0051) for name in found)
