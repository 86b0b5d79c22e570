"""Codes of ``org_units.csv``, ``deployments.csv``, levels, reporters and the clinics."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.model import Severity

_NEAREST = ("{nearest}", "{nearest}")
_NOWHERE = (
    "Les fiches de ce lieu ne seraient comptées nulle part et iraient en quarantaine.",
    "Records of this place would be counted nowhere and go to quarantine.",
)

PLACES: Mapping[str, Code] = {
    "org_unit.overlap": Code(
        (
            "{source} {place} est deux unités à la fois, aussi à la ligne {line}",
            "{source} {place} is two org units at the same time, also at line {line}",
        ),
        ("Une fiche ne peut être comptée qu'à un endroit.", "A record can be counted in one place only."),
        (
            "Terminez la première (valid_to) avant que la seconde commence.",
            "End the first (valid_to) before the second begins.",
        ),
    ),
    "org_unit.gap": Code(
        (
            "{source} {place} n'est aucune unité du {first} au {last}",
            "{source} {place} is no org unit from {first} to {last}",
        ),
        _NOWHERE,
        (
            "Faites commencer cette ligne le lendemain de la fin de l'autre (ligne {line}).",
            "Let this line begin on the day after the other ends (line {line}).",
        ),
    ),
    "org_unit.parent": Code(
        ("{org_unit} : le parent {parent} n'a pas de ligne", "{org_unit}: the parent {parent} has no line"),
        (
            "Relais ne peut pas monter au niveau où l'on saisit.",
            "Relais cannot climb to the level where values are entered.",
        ),
        _NEAREST,
    ),
    "org_unit.cycle": Code(
        ("{org_unit} est au-dessus de lui-même", "{org_unit} lies above itself"),
        ("Relais monterait sans fin.", "Relais would climb without end."),
        ("Corrigez parent.", "Mend parent."),
    ),
    "org_unit.differs": Code(
        (
            "{org_unit} a un autre {column} à la ligne {line} : {other}",
            "{org_unit} has another {column} at line {line}: {other}",
        ),
        (
            "Une unité a un seul niveau et un seul parent à une date.",
            "An org unit has one level and one parent at a time.",
        ),
        (
            "Écrivez le même, ou donnez des dates qui ne se touchent pas.",
            "Write the same, or give dates that do not meet.",
        ),
    ),
    "org_unit.outside": Code(
        (
            "{org_unit} vaut quand son parent {parent} ne vaut pas : {days}",
            "{org_unit} holds while its parent {parent} does not: {days}",
        ),
        (
            "Ces jours-là Relais ne peut pas monter au niveau où l'on saisit.",
            "On those days Relais cannot climb to the level where values are entered.",
        ),
        ("Corrigez la date, ici ou à la ligne {line}.", "Mend the date, here or at line {line}."),
        Severity.WARNING,
    ),
    "deployment.outside": Code(
        (
            "{reporter} est attendu dans {org_unit} quand l'unité n'existe pas : {days}",
            "{reporter} is expected in {org_unit} while the unit does not exist: {days}",
        ),
        (
            "On attendrait des rapports d'un lieu qui n'est pas ouvert, et un mois ne serait jamais complet.",
            "Reports would be awaited from a place that is not open, and a month would never be complete.",
        ),
        (
            "Corrigez la date, ici ou dans org_units.csv, ligne {line}.",
            "Mend the date, here or in org_units.csv, line {line}.",
        ),
        Severity.WARNING,
    ),
    "deployment.gap": Code(
        (
            "{reporter} n'est attendu nulle part dans {group} du {first} au {last}",
            "{reporter} is expected nowhere in {group} from {first} to {last}",
        ),
        (
            "Un mois de ces jours paraîtrait complet sans ce rapporteur.",
            "A month of those days would seem complete without this reporter.",
        ),
        (
            "Faites commencer cette ligne le lendemain de la fin de l'autre (ligne {line}), ou laissez les jours où "
            "personne n'est attendu.",
            "Let this line begin on the day after the other ends (line {line}), or leave the days on which nobody is "
            "expected.",
        ),
        Severity.WARNING,
    ),
    "deployment.no_place": Code(
        (
            "{reporter} rapporte comme lieu, et org_units.csv n'a pas de lieu de ce nom",
            "{reporter} reports as a place, and org_units.csv has no place of that name",
        ),
        (
            "Ses fiches iraient en quarantaine, et un mois ne serait jamais complet.",
            "Its records would go to quarantine, and a month would never be complete.",
        ),
        _NEAREST,
        Severity.WARNING,
    ),
    "deployment.elsewhere": Code(
        (
            "{reporter} rapporte pour {org_unit}, et son lieu est {other}",
            "{reporter} reports for {org_unit}, and its place is {other}",
        ),
        (
            "Il serait attendu à un endroit et compté à un autre.",
            "It would be awaited in one place and counted in another.",
        ),
        (
            "Corrigez l'unité, ici ou dans org_units.csv, ligne {line}.",
            "Mend the org unit, here or in org_units.csv, line {line}.",
        ),
        Severity.WARNING,
    ),
    "org_unit.twice": Code(
        (
            "{org_unit} s'appelle {name} sous le même parent que {other} (ligne {line})",
            "{org_unit} is called {name} below the same parent as {other} (line {line})",
        ),
        (
            "Un lieu écrit de deux façons est deux unités : ses chiffres sont partagés, et DHIS2 en refuse une.",
            "A place written in two ways is two org units: its figures are split, and DHIS2 refuses one of the two.",
        ),
        ("Écrivez le même code, ou donnez un autre nom.", "Write the same code, or give another name."),
        Severity.WARNING,
    ),
    "unused.org_unit": Code(
        (
            "rien n'est sous {org_unit}, et rien n'y est saisi ni attendu",
            "nothing lies below {org_unit}, and nothing is entered or awaited there",
        ),
        (
            "Une unité dont personne n'a besoin cache souvent un parent mal écrit plus bas.",
            "An org unit that nobody needs often hides a parent misspelt further down.",
        ),
        (
            "Vérifiez parent dans les lignes de ce qui est au-dessous, ou retirez cette ligne.",
            "Check parent in the lines of what lies below, or remove this line.",
        ),
        Severity.WARNING,
    ),
    "id.slip": Code(
        ("{name} ne s'écrit pas comme les autres ({other})", "{name} is not written like the others ({other})"),
        (
            "Un nom mal écrit est celui de personne : ses fiches seraient comptées sans lui, ou nulle part.",
            "A misspelt name is nobody's: records would be counted without it, or nowhere.",
        ),
        (
            "Vérifiez le nom dans l'application.",
            "Check the name in the app.",
        ),
        Severity.WARNING,
    ),
    "org_unit.unknown": Code(
        ("{reporter} : il n'y a pas d'unité {org_unit}", "{reporter}: there is no org unit {org_unit}"),
        (
            "Ce rapporteur ne serait attendu nulle part : un mois paraîtrait complet sans lui.",
            "This reporter would be expected nowhere: a month would seem complete without them.",
        ),
        _NEAREST,
    ),
    "org_unit.source": Code(
        ("il n'y a pas de source {name}", "there is no source {name}"),
        _NOWHERE,
        _NEAREST,
    ),
    "date.far": Code(
        ("{column} est {date}", "{column} is {date}"),
        (
            "Si loin de la mise en service (live_from), l'année est sans doute une faute de frappe : la ligne ne vaut "
            "pas quand on le croit.",
            "So far from the start (live_from) the year is hardly meant: the line does not hold when believed to.",
        ),
        ("Vérifiez l'année.", "Check the year."),
        Severity.WARNING,
    ),
    "deployment.overlap": Code(
        (
            "{reporter} est attendu deux fois dans {group} à la fois, aussi à la ligne {line}",
            "{reporter} is expected twice in {group} at the same time, also at line {line}",
        ),
        (
            "Un mois ne serait jamais complet : il rapporte à un seul endroit.",
            "A month would never be complete: they report from one place.",
        ),
        ("Terminez la première ligne (valid_to).", "End the first line (valid_to)."),
    ),
    "deployment.kind": Code(
        (
            "{reporter} est {kind} dans le groupe {group}, dont les autres sont {other}",
            "{reporter} is a {kind} in the group {group}, whose others are {other}",
        ),
        (
            "Un groupe réuni par erreur attend des rapports de qui n'en envoie pas.",
            "A group mixed up by a slip waits for reports of somebody who sends none.",
        ),
        ("Corrigez kind ou group.", "Mend kind or group."),
        Severity.WARNING,
    ),
    "deployment.level": Code(
        (
            "{reporter} est au niveau {level} dans le groupe {group}, dont les autres sont au niveau {other}",
            "{reporter} is at level {level} in the group {group}, whose others are at {other}",
        ),
        (
            "Un rapporteur au mauvais niveau est attendu par d'autres unités que la sienne.",
            "A reporter at the wrong level is awaited by other units than theirs.",
        ),
        ("Corrigez org_unit.", "Mend org_unit."),
        Severity.WARNING,
    ),
    "level.slip": Code(
        (
            "{org_unit} est du niveau {level}, que personne n'attend",
            "{org_unit} has the level {level}, which nobody expects",
        ),
        (
            "Les fiches de ce lieu ne monteraient à aucune unité de saisie.",
            "Records of this place would climb to no org unit where values are entered.",
        ),
        _NEAREST,
        Severity.WARNING,
    ),
    "level.unknown": Code(
        ("{data_set} : aucune unité n'est du niveau {level}", "{data_set}: no org unit has the level {level}"),
        ("Aucune de ses valeurs n'aurait d'unité.", "None of its values would have an org unit."),
        _NEAREST,
    ),
    "group.unknown": Code(
        ("{data_set} : personne n'est dans le groupe {group}", "{data_set}: no reporter is in group {group}"),
        (
            "Un mois serait dit complet sans qu'on attende personne.",
            "A month would be called complete with nobody awaited.",
        ),
        _NEAREST,
    ),
    "unused.group": Code(
        (
            "aucun jeu de données n'attend le groupe {group}",
            "no data set waits for the group {group}",
        ),
        ("Ces rapporteurs ne comptent pour rien.", "These reporters count for nothing."),
        ("Nommez-le dans complete, ou retirez-le.", "Name it in complete, or remove it."),
        Severity.WARNING,
    ),
    "place.unmapped": Code(
        (
            "{source} {place} n'a pas de ligne dans org_units.csv{when}",
            "{source} {place} has no line in org_units.csv{when}",
        ),
        _NOWHERE,
        _NEAREST,
        Severity.WARNING,
    ),
    "profile.differs": Code(
        (
            "{target} est {one} ici et {other} dans openmrs.yaml",
            "{target} is {one} here and {other} in openmrs.yaml",
        ),
        ("Relais suit connector.yaml.", "Relais follows connector.yaml."),
        ("Écrivez le même, ou gardez-en un.", "Write the same, or keep one."),
        Severity.WARNING,
    ),
    "treatment.not_sent": Code(
        ("le traitement {name} n'est jamais envoyé à la clinique", "the treatment {name} is never sent to the clinic"),
        (
            "Une référence dit les traitements donnés par concepts.treatment ; un traitement est un fait boolean avec "
            "fhir: {{resource: Observation}} dans concepts.yaml.",
            "A referral tells the treatments given by concepts.treatment; a treatment is a boolean fact with "
            "fhir: {{resource: Observation}} in concepts.yaml.",
        ),
        (
            "Nommez un tel fait, et le concept de la clinique sous concepts.treatment ; ou ôtez la ligne.",
            "Name such a fact, and the clinic's concept under concepts.treatment; or take the line away.",
        ),
    ),
}
