"""Codes of the files themselves, of keys and values, and of ``connector.yaml``."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.model import Severity, Who

_UNREAD = (
    "Rien de ce fichier n'est lu, et ce qui en dépend manque aussi.",
    "Nothing of this file is read, and what depends on it is missing too.",
)
_SILENT = (
    "Ce qui n'est pas lu ne fait rien, sans le dire.",
    "What is not read does nothing, and does not say so.",
)

FILES: Mapping[str, Code] = {
    # ---------------------------------------------------------------- connections
    "column.unseen": Code(
        (
            "{source} : aucune fiche d'exemple n'a la colonne {column}",
            "{source}: no sample record has the column {column}",
        ),
        (
            "Sans cette colonne chaque ligne est illisible, ou une ligne retirée reste comptée.",
            "Without this column every line is unreadable, or a line taken back stays counted.",
        ),
        ("{nearest}", "{nearest}"),
        Severity.WARNING,
    ),
    "target.slip": Code(
        ("la cible {name} est de la sorte {kind}", "the target {name} is of the kind {kind}"),
        (
            "Ce qui a été envoyé est gardé sous le nom de la cible : sous un autre nom tout serait envoyé de nouveau.",
            "What was sent is kept under the name of the target: under another name all would be sent again.",
        ),
        (
            "Écrivez {kind}, ou un nom qui n'y ressemble pas.",
            "Write {kind}, or a name that does not look like it.",
        ),
        Severity.WARNING,
    ),
    "fhir.type_needed": Code(
        ("{target} : {kind} renvoie à {needed}, qui n'y va pas", "{target}: {kind} refers to {needed}, not sent there"),
        (
            "Un serveur FHIR refuse ce qui renvoie à ce qu'il n'a pas : ces ressources attendraient toujours.",
            "A FHIR server refuses what refers to what it does not have: these resources would wait for ever.",
        ),
        ("Ajoutez {needed} à types, ou retirez-en {kind}.", "Add {needed} to types, or leave {kind} out."),
        who=Who.SYSADMIN,
    ),
    "login.twice": Code(
        (
            "{what} : un jeton, et aussi un utilisateur",
            "{what}: a token, and a user as well",
        ),
        (
            "Seul le jeton est envoyé : un mot de passe qui ne sert à rien peut quand même fuir.",
            "The token alone is sent: a password that is of no use can leak all the same.",
        ),
        (
            "Retirez user et password, ou token. Pour DHIS2 gardez le jeton.",
            "Take user and password out, or token. For DHIS2 keep the token.",
        ),
        Severity.WARNING,
        Who.SYSADMIN,
    ),
    # ---------------------------------------------------------------- files
    "file.missing": Code(
        ("{name} n'existe pas", "{name} does not exist"),
        _UNREAD,
        ("Créez le fichier.", "Create the file."),
    ),
    "file.encoding": Code(
        ("{name} n'est pas en UTF-8", "{name} is not UTF-8"),
        (
            "Lus autrement, les accents deviendraient d'autres lettres et les codes d'autres codes.",
            "Read otherwise, accents would become other letters and codes other codes.",
        ),
        ("Enregistrez le fichier en UTF-8.", "Save the file as UTF-8."),
    ),
    "file.too_big": Code(
        ("{name} dépasse {most} octets", "{name} is larger than {most} bytes"),
        (
            "Un paquet est lu à chaque commande ; un si gros fichier n'en est sans doute pas une partie.",
            "A pack is read by every command; so large a file is hardly a part of one.",
        ),
        ("Partagez-le, ou retirez-le du paquet.", "Split it, or take it out of the pack."),
    ),
    "file.unknown": Code(
        ("personne ne lit {name}", "nobody reads {name}"),
        _SILENT,
        ("{nearest} Sinon retirez-le.", "{nearest} Else remove it."),
        Severity.WARNING,
    ),
    "yaml.syntax": Code(
        ("illisible comme YAML : {problem}", "not readable as YAML: {problem}"),
        _UNREAD,
        (
            "Corrigez cette ligne : l'alignement, un guillemet ou une parenthèse non fermés.",
            "Mend this line: its indentation, a quote or bracket that is not closed.",
        ),
    ),
    "yaml.key": Code(
        ("une clé doit être un mot", "a key must be a word"),
        _SILENT,
        ("Écrivez  nom: valeur", "Write  name: value"),
    ),
    "yaml.too_big": Code(
        (
            "{name} a plus de {most} valeurs ou plus de {deepest} niveaux",
            "{name} has more than {most} values or {deepest} levels",
        ),
        _UNREAD,
        ("Partagez-le.", "Split it."),
    ),
    "key.twice": Code(
        ("{key} est donné deux fois", "{key} is given twice"),
        (
            "Un seul des deux vaut ; l'autre ne fait rien, sans le dire.",
            "Only one of the two holds; the other does nothing and does not say so.",
        ),
        ("Gardez-en un. Le premier est à la ligne {line}.", "Keep one of them. The first is at line {line}."),
    ),
    "key.unknown": Code(
        ("{what}{key} n'est pas connu ici", "{what}{key} is not known here"),
        _SILENT,
        ("{nearest}", "{nearest}"),
    ),
    "key.missing": Code(
        ("{what}{key} manque", "{what}{key} is missing"),
        ("Sans cela Relais ne sait pas quoi faire ici.", "Without it Relais does not know what to do here."),
        ("Ajoutez  {key}: ...", "Add  {key}: ..."),
    ),
    "value.type": Code(
        ("{what} : ceci n'est pas {expected}", "{what}: this is not {expected}"),
        _SILENT,
        ("Écrivez {expected}.", "Write {expected}."),
    ),
    "value.choice": Code(
        ("{what} ne peut pas être {value!r}", "{what} cannot be {value!r}"),
        ("Seules quelques valeurs ont un sens ici.", "Only a few values mean something here."),
        ("{nearest}", "{nearest}"),
    ),
    "value.format": Code(
        ("{what} : {value!r} n'est pas {expected}", "{what}: {value!r} is not {expected}"),
        (
            "Une valeur mal écrite serait refusée plus tard, ou prise pour une autre.",
            "A value written wrongly would be refused later, or taken for another.",
        ),
        ("Par exemple {example}", "For example {example}"),
    ),
    "id.twice": Code(
        ("{name} est déclaré deux fois", "{name} is declared twice"),
        ("Seul le premier vaut.", "Only the first one holds."),
        (
            "Donnez-lui un autre nom. Le premier : {first}, ligne {line}.",
            "Give it another name. The first is at {first}, line {line}.",
        ),
    ),
    "csv.columns": Code(
        ("colonne absente : {missing}", "column missing: {missing}"),
        _UNREAD,
        ("Colonnes : {columns}", "Columns: {columns}"),
    ),
    "csv.row": Code(
        ("cette ligne a {count} cellules au lieu de {wanted}", "this line has {count} cells instead of {wanted}"),
        (
            "Les cellules d'après glissent d'une colonne, ou la ligne n'est pas lue.",
            "The cells after it slip by a column, or the line is not read.",
        ),
        (
            "Cherchez un séparateur de trop ou de moins ; un texte qui en contient va entre guillemets.",
            "Look for a delimiter too many or too few; a text that holds one goes in quotes.",
        ),
    ),
    "csv.date": Code(
        ("{problem}", "{problem}"),
        (
            "La ligne ne vaut à aucune date : les fiches de ce lieu ne seraient comptées nulle part.",
            "The line holds on no day: records of this place would be counted nowhere.",
        ),
        ("Écrivez 2026-07-31, la fin après le début.", "Write 2026-07-31, the end after the beginning."),
    ),
    "table.missing": Code(
        ("il n'y a pas de table {name}", "there is no table {name}"),
        (
            "Aucune réponse n'aurait de sens : le fait manquerait partout.",
            "No answer would mean anything: the fact would be missing everywhere.",
        ),
        ("Créez-la, ou corrigez le chemin. {nearest}", "Create it, or mend the path. {nearest}"),
    ),
    "table.twice": Code(
        ("la réponse {answer!r} est déjà à la ligne {line}", "the answer {answer!r} is already at line {line}"),
        ("Seule la dernière ligne vaut.", "Only the last line holds."),
        ("Gardez une ligne par réponse.", "Keep one line per answer."),
    ),
    # ---------------------------------------------------------------- connector.yaml
    "pack.id": Code(
        ("{what} : {value!r} ne peut pas servir", "{what}: {value!r} cannot be used"),
        (
            "Les identifiants de tout ce qui est envoyé en sont tirés, pour toujours.",
            "The identifiers of everything sent are made from it, for ever.",
        ),
        (
            "Minuscules, chiffres, points et tirets, par exemple {example}",
            "Small letters, digits, dots and hyphens, for example {example}",
        ),
    ),
    "zone.unknown": Code(
        ("{name} n'est pas un fuseau horaire", "{name} is not a time zone"),
        (
            "Les jours et les mois seraient comptés à la mauvaise heure.",
            "Days and months would be counted at the wrong hour.",
        ),
        ("{nearest} Par exemple Africa/Bamako.", "{nearest} For example Africa/Bamako."),
    ),
    "live_from.missing": Code(
        ("{what} : live_from manque", "{what}: live_from is missing"),
        (
            "Rien n'est envoyé sans lui : ce qui fut tapé à la main avant la mise en service ne doit pas être écrasé.",
            "Nothing is sent without it: what was typed by hand before the start must not be overwritten.",
        ),
        ("Ajoutez {example}", "Add {example}"),
    ),
    "live_from.invalid": Code(
        ("{what} : live_from ne peut pas être {value!r}", "{what}: live_from cannot be {value!r}"),
        (
            "Relais ne sait pas à partir de quand envoyer, et n'envoie rien.",
            "Relais does not know from when on to send, and sends nothing.",
        ),
        ("Écrivez {example}", "Write {example}"),
    ),
    "span.invalid": Code(
        ("{what} : {value!r} n'est pas une durée", "{what}: {value!r} is not a span"),
        ("Relais prendrait la durée par défaut.", "Relais would take the default span."),
        ("Par exemple {example}", "For example {example}"),
    ),
    "schedule.invalid": Code(
        ("{what} : {problem}", "{what}: {problem}"),
        (
            "Rien ne se ferait à cette heure-là : Relais ne saurait pas quand.",
            "Nothing would happen then: Relais would not know when.",
        ),
        ("{how}", "{how}"),
    ),
    "schedule.weekday_number": Code(
        ("{what} : le jour {value!r} est un numéro", "{what}: the weekday {value!r} is a number"),
        (
            "0 est dimanche pour les uns et lundi pour les autres.",
            "0 is Sunday to some programs and Monday to others.",
        ),
        (
            "Écrivez mon, tue, wed, thu, fri, sat ou sun.",
            "Write mon, tue, wed, thu, fri, sat or sun.",
        ),
    ),
    "schedule.never": Code(
        ("{what} : {value!r} n'arrive jamais", "{what}: {value!r} never happens"),
        ("Aucun mois n'a ce jour.", "No month has that day."),
        ("Choisissez un jour qui existe, ou *.", "Choose a day that exists, or *."),
    ),
    "schedule.too_often": Code(
        ("{what} : {value!r} est plus souvent que chaque minute", "{what}: {value!r} is more often than every minute"),
        (
            "Les serveurs seraient sans cesse interrogés pour rien, et le lien occupé.",
            "Servers would be asked all the time for nothing, and the link kept busy.",
        ),
        ("Par exemple  every 15m", "For example  every 15m"),
        Severity.WARNING,
    ),
    "secret.missing": Code(
        ("{name} n'existe pas, et le paquet le demande ici", "{name} is named here and not set"),
        ("Sans lui Relais ne peut pas se connecter.", "Without it Relais cannot connect."),
        ("Donnez {name}.", "Set {name}."),
        who=Who.SYSADMIN,
    ),
    "secret.name": Code(
        ("ceci ne nomme ni variable ni fichier", "this names no variable and no file"),
        (
            "Le texte lui-même serait pris pour mot de passe ou adresse.",
            "The text itself would be taken for the password or address.",
        ),
        (
            "Écrivez ${{NOM}}, ${{NOM:-défaut}} ou ${{file:NOM}} ; un nom a des lettres, chiffres, _ . et -.",
            "Write ${{NAME}}, ${{NAME:-default}} or ${{file:NAME}}; a name has letters, digits, _ . and - only.",
        ),
    ),
    "secret.written": Code(
        ("{what} : un secret est écrit dans le paquet", "{what}: a secret is written in the pack"),
        (
            "Le paquet va dans git, dans des courriels, dans des copies : le secret est déjà dehors.",
            "Packs go into git, mails and copies: the secret is already out.",
        ),
        (
            "Changez le secret à sa source, puis nommez-le : ${{NOM}} ou ${{file:NOM}}.",
            "Change the secret where it comes from, then name it: ${{NAME}} or ${{file:NAME}}.",
        ),
        who=Who.SYSADMIN,
    ),
    "url.invalid": Code(
        ("{what} n'est pas une adresse http", "{what} is not an http address"),
        ("Relais ne peut pas se connecter.", "Relais cannot connect."),
        ("Écrivez https://dhis2.exemple.org", "Write https://dhis2.example.org"),
    ),
    "url.insecure": Code(
        (
            "{what} : http:// enverrait des données de patients sans protection",
            "{what}: http:// would send patient data unprotected",
        ),
        (
            "Tout le monde sur le chemin pourrait lire les données et le mot de passe.",
            "Everybody on the way could read the data and the password.",
        ),
        (
            "Écrivez https://, ou ajoutez  insecure: true  si le chemin est protégé autrement.",
            "Use https://, or add  insecure: true  if the way is protected otherwise.",
        ),
        who=Who.SYSADMIN,
    ),
}
