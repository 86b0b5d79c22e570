"""Codes of indicators, categories and what they are called in DHIS2."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.model import Severity

_NEAREST = ("{nearest}", "{nearest}")
_NOTHING = ("L'indicateur ne compterait jamais rien.", "The indicator would never count anything.")
_REFUSED = (
    "DHIS2 refuserait chacune de ces valeurs.",
    "DHIS2 would refuse every one of these values.",
)
_UNKNOWN = (
    "Qui tombe là est compté sous « inconnu », sans le dire.",
    "Whoever falls there is counted as unknown, silently.",
)
_USELESS = (
    "Une ligne de trop cache souvent une faute de frappe ailleurs.",
    "A line too many often hides a slip elsewhere.",
)

COUNTING: Mapping[str, Code] = {
    # ---------------------------------------------------------------- indicators
    "indicator.unknown": Code(
        ("il n'y a pas d'indicateur {name}", "there is no indicator {name}"),
        ("L'exemple n'essaie rien.", "The example tries nothing."),
        _NEAREST,
    ),
    "example.part": Code(
        (
            "« {text} » ne dit pas quelle partie de {name} est comptée",
            "'{text}' does not say which part of {name} is counted",
        ),
        ("L'exemple échouerait toujours.", "The example would always fail."),
        (
            "Écrivez la partie ({parts}), puis la combinaison d'options : {first} default",
            "Write the part ({parts}), then the option combination: {first} default",
        ),
    ),
    "data_set.unknown": Code(
        ("{indicator} : il n'y a pas de jeu de données {name}", "{indicator}: there is no data set {name}"),
        ("Ses valeurs n'iraient nulle part.", "Its values would go nowhere."),
        _NEAREST,
    ),
    "data_set.reporters": Code(
        (
            "{what}{key} parle des rapporteurs, et complete ne les nomme pas",
            "{what}{key} is about reporters, and complete does not name them",
        ),
        ("Relais n'attendrait personne.", "Relais would wait for nobody."),
        (
            "Ajoutez  complete: GROUPE  (un groupe de deployments.csv).",
            "Add  complete: GROUP  (a group of deployments.csv).",
        ),
    ),
    "category.unknown": Code(
        ("{what}il n'y a pas de catégorie {name}", "{what}there is no category {name}"),
        ("Le chiffre ne serait pas ventilé comme DHIS2 l'attend.", "The figure would not be split as DHIS2 expects."),
        _NEAREST,
    ),
    "indicator.distinct": Code(
        (
            "{what} : aggregate: {aggregate} et distinct ne vont pas ensemble ainsi",
            "{what}: aggregate: {aggregate} and distinct do not go together so",
        ),
        ("Relais ne sait pas quoi compter une seule fois.", "Relais does not know what to count once."),
        (
            "distinct dit qui ou quoi compte une fois, ou de qui la première ou dernière fiche : il va avec "
            "aggregate: distinct, first ou latest, et avec eux seuls.",
            "distinct says whom or what counts once, or whose first or latest record: it goes with "
            "aggregate: distinct, first or latest, and with them alone.",
        ),
    ),
    "indicator.amount": Code(
        (
            "{what} : amount est pour aggregate: sum, first ou latest",
            "{what}: amount is for aggregate: sum, first or latest",
        ),
        ("Rien ne serait additionné.", "Nothing would be added up."),
        ("Ajoutez  aggregate: sum, ou retirez amount.", "Add  aggregate: sum, or remove amount."),
    ),
    "indicator.at_least": Code(
        (
            "{what} : distinct_at_least est pour aggregate: distinct",
            "{what}: distinct_at_least is for aggregate: distinct",
        ),
        ("Le nombre de fiches ne serait pas regardé.", "The number of records would not be looked at."),
        (
            "Ajoutez  aggregate: distinct  sans each, ou retirez-le.",
            "Add  aggregate: distinct  without each, or remove it.",
        ),
    ),
    "indicator.among": Code(
        ("{what} : among est pour aggregate: first ou latest", "{what}: among is for aggregate: first or latest"),
        ("Rien n'est choisi : la condition ne serait pas regardée.", "Nothing is chosen: it would not be looked at."),
        ("Écrivez where.", "Use where."),
    ),
    "episode.window": Code(
        ("{what} : de {first} à {last} jours", "{what}: from {first} to {last} days"),
        ("Aucune fiche n'en ferait jamais partie.", "No record would ever belong to it."),
        ("Échangez from et to.", "Swap from and to."),
    ),
    "amount.not_number": Code(
        ("{name} : {fact} est {kind} et ne s'additionne pas", "{name}: {fact} is {kind} and cannot be added up"),
        _NOTHING,
        ("Additionnez un fait integer ou decimal.", "Add up a fact that is integer or decimal."),
    ),
    "fact.never_produced": Code(
        ("{name} : aucun formulaire compté ne donne {fact}{where}", "{name}: no form it counts gives {fact}{where}"),
        (
            "Le fait est toujours absent : la condition ne tient jamais, la ventilation est toujours « inconnu ».",
            "The fact is always absent: the condition never holds, the split is always unknown.",
        ),
        ("{nearest}", "{nearest}"),
    ),
    "activity.never_produced": Code(
        ("{name} : aucun formulaire ne donne {activity}", "{name}: no form gives {activity}"),
        _NOTHING,
        (
            "Traduisez un formulaire en {activity}, ou comptez autre chose.",
            "Map a form to {activity}, or count something else.",
        ),
    ),
    "period.differs": Code(
        (
            "{name} est {period} et son jeu {data_set} est {there}",
            "{name} is {period} and its data set {data_set} is {there}",
        ),
        (
            "Il serait compté et envoyé par {there}, pas comme il est défini.",
            "It would be counted and sent by {there}, not as it is defined.",
        ),
        ("Changez la période, ou le jeu de données.", "Change the period, or the data set."),
    ),
    "element.twice": Code(
        (
            "{name} : l'élément de données {element} est déjà celui de {other}",
            "{name}: data element {element} is already that of {other}",
        ),
        ("Deux chiffres s'écraseraient dans la même cellule.", "Two figures would overwrite each other in one cell."),
        ("Donnez à l'un un autre code dans dhis2.yaml.", "Give one of them another code in dhis2.yaml."),
    ),
    "element.exception": Code(
        ("exceptions : il n'y a pas d'élément {name}", "exceptions: there is no element {name}"),
        ("Le code donné ici ne servirait à rien.", "The code given here would be of no use."),
        _NEAREST,
    ),
    "element.too_long": Code(
        ("{name} : le code {code} a {length} lettres", "{name}: the code {code} has {length} letters"),
        ("DHIS2 ne garde que 50 lettres : ce code n'y existe pas.", "DHIS2 keeps 50 letters: this code is not there."),
        ("Raccourcissez le préfixe ou le nom.", "Shorten the prefix or the name."),
    ),
    "combo.category_twice": Code(
        (
            "{name} : {one} et {other} sont la même catégorie dans DHIS2 ({code})",
            "{name}: {one} and {other} are the same category in DHIS2 ({code})",
        ),
        _REFUSED,
        ("Gardez-en une dans by.", "Keep one of them in by."),
    ),
    "combo.too_long": Code(
        ("{name} : la combinaison {code} a {length} lettres", "{name}: the combination {code} has {length} letters"),
        (
            "DHIS2 ne garde que 50 lettres : cette cellule n'y a pas de combinaison.",
            "DHIS2 keeps 50 letters: this cell has no combination there.",
        ),
        ("Donnez aux options des codes plus courts.", "Give the options shorter codes."),
    ),
    "combo.twice": Code(
        (
            "{name} : la combinaison {code} est déjà celle de {other} ({categories})",
            "{name}: the combination {code} is already that of {other} ({categories})",
        ),
        (
            "Un code de combinaison est unique dans DHIS2 : cette cellule n'y a pas de combinaison à elle.",
            "The code of a combination is unique in DHIS2: this cell has no combination of its own there.",
        ),
        (
            "Donnez aux options d'une des catégories d'autres codes (prefix ou code).",
            "Give the options of one of the categories other codes (prefix or code).",
        ),
    ),
    # ---------------------------------------------------------------- categories
    "option.twice": Code(
        ("{name} : deux options ont le code {code}", "{name}: two options have the code {code}"),
        ("Deux parts seraient additionnées en une.", "Two shares would be added into one."),
        ("Chaque option a son propre code.", "Each option needs its own code."),
    ),
    "chis.twice": Code(
        ("{name} : {code} est déjà le code de {other}", "{name}: {code} is already the code of {other}"),
        (
            "Deux indicateurs seraient un seul pour qui compare avec le paquet de DHIS2.",
            "Two indicators would be one to whoever compares with the package of DHIS2.",
        ),
        ("Vérifiez lequel des deux a ce code.", "Check which of the two has this code."),
        Severity.WARNING,
    ),
    "option.never": Code(
        ("{name} : {fact} ne vaut jamais {option}", "{name}: {fact} is never {option}"),
        ("Cette part serait toujours vide.", "This share would always be empty."),
        _NEAREST,
    ),
    "category.differs": Code(
        (
            "{name} et {other} sont {code} dans DHIS2, avec d'autres options : {options}",
            "{name} and {other} are {code} in DHIS2, with different options: {options}",
        ),
        (
            "Une catégorie de DHIS2 a un seul jeu d'options.",
            "A category of DHIS2 has one set of options.",
        ),
        ("Donnez les mêmes codes, ou un autre code à l'une.", "Give the same codes, or one of them another code."),
    ),
    "band.missing": Code(
        ("{name} : {option} n'a pas de tranche", "{name}: {option} has no band"),
        ("Personne n'y serait compté.", "Nobody would be counted there."),
        ("Donnez-lui from et below.", "Give it from and below."),
    ),
    "band.empty": Code(
        ("{name} : {option} va de {low} à {high}", "{name}: {option} goes from {low} to {high}"),
        ("Personne n'y serait compté.", "Nobody would be counted there."),
        ("below est plus grand que from.", "below is greater than from."),
    ),
    "band.overlap": Code(
        ("{name} : {one} et {other} se chevauchent", "{name}: {one} and {other} overlap"),
        ("La première l'emporte, et la seconde compte trop peu.", "The first one wins, and the second counts too few."),
        ("Chaque âge est dans une seule tranche.", "Each age belongs to one band."),
    ),
    "band.gap": Code(
        ("{name} : rien entre {one} et {other} ({gap})", "{name}: nothing between {one} and {other} ({gap})"),
        _UNKNOWN,
        ("Faites commencer {other} où finit {one}.", "Let {other} begin where {one} ends."),
    ),
    "band.unreachable": Code(
        (
            "{name} : {option} est tout entière dans les tranches d'avant",
            "{name}: {option} lies wholly in the bands before it",
        ),
        ("La première qui convient l'emporte : celle-ci jamais.", "The first that fits wins: this one never."),
        ("Mettez la plus étroite d'abord.", "Put the narrower one first."),
    ),
    # ---------------------------------------------------------------- what nobody uses
    "unused.category": Code(
        ("aucun indicateur n'est ventilé par {name}", "no indicator is split by {name}"),
        _USELESS,
        ("Nommez-la dans by, ou retirez-la.", "Name it in by, or remove it."),
        Severity.WARNING,
    ),
    "unused.data_set": Code(
        ("aucun indicateur ne va dans {name}", "no indicator goes to {name}"),
        _USELESS,
        ("Envoyez-y un indicateur, ou retirez-le.", "Send an indicator there, or remove it."),
        Severity.WARNING,
    ),
}
