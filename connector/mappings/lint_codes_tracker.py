"""Codes of ``tracker.yaml``."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.model import Severity

_EMPTY = (
    "Le champ resterait vide dans DHIS2 pour tout le monde.",
    "The field would stay empty in DHIS2 for everybody.",
)

TRACKER: Mapping[str, Code] = {
    "tracker.no_target": Code(
        (
            "aucune cible n'est de la sorte dhis2_tracker",
            "no target is of kind dhis2_tracker",
        ),
        ("Rien de ce que ce fichier nomme ne part.", "Nothing of what this file names is sent."),
        (
            "Ajoutez la cible à connector.yaml, ou retirez le fichier.",
            "Add the target to connector.yaml, or remove the file.",
        ),
        Severity.WARNING,
    ),
    "tracker.second_target": Code(
        ("{target} est la deuxième cible dhis2_tracker", "{target} is the second target of kind dhis2_tracker"),
        ("Un paquet n'en sert qu'une : celle-ci ne recevrait rien.", "A pack serves one: this one would get nothing."),
        ("Retirez-la, ou faites-en un autre paquet.", "Remove it, or make another pack of it."),
    ),
    "tracker.nobody": Code(
        (
            "{stage} : les fiches de {activity} ne parlent d'aucune personne",
            "{stage}: records of {activity} are about no person",
        ),
        (
            "Un événement est celui d'une personne inscrite : aucun ne partirait.",
            "An event is one of a person who is enrolled: none would leave.",
        ),
        (
            "Donnez subject au formulaire, ou nommez une autre activité.",
            "Give the form a subject, or name another activity.",
        ),
    ),
    "tracker.person_fact": Code(
        (
            "{attribute} : aucun formulaire n'enregistre {name} d'une personne",
            "{attribute}: no form registers {name} of a person",
        ),
        _EMPTY,
        ("{nearest}", "{nearest}"),
    ),
    "tracker.several": Code(
        ("{element} : {name} a plusieurs valeurs", "{element}: {name} has several values"),
        (
            "Un élément de données n'en prend qu'une ; il resterait vide.",
            "A data element takes one only; it would stay empty.",
        ),
        (
            "Nommez un fait qui dit oui ou non d'une seule réponse ($chosen).",
            "Name a fact that says yes or no of one answer ($chosen).",
        ),
    ),
}
