"""Sources and targets of ``connector.yaml``, declared by kind."""

from __future__ import annotations

from collections.abc import Mapping

from connector.mappings.fhir_sharing import TYPES
from connector.mappings.shapes import FLAG, TEXT, Field, Group, Number, Whole, Word, Words

SPAN = Word(
    pattern=r"[1-9]\d{0,4}[smhd]",
    code="span.invalid",
    expected=("une durée", "a span"),
    example="3d",
)

_URL = Field(TEXT, ("adresse ; https:// sauf sur cette machine", "address; `https://` but on loopback"), required=True)
_USER = Field(TEXT, ("nom d'utilisateur", "user name"))
_PASSWORD = Field(TEXT, ("mot de passe, par référence", "password"))
_TOKEN = Field(
    TEXT,
    (
        "jeton, au lieu d'utilisateur et mot de passe ; il passe avant eux",
        "access token instead of user and password; it comes before them",
    ),
)
_DATABASE = Field(TEXT, ("nom de la base CouchDB", "name of the CouchDB database (`medic`)"))
_SETTLES = Field(
    Number(pattern=r"\d{1,6}(\.\d{1,3})?", example="120"),
    ("temps de repos en secondes après une réponse qui n'est pas venue",
     "quiet time in seconds after an answer that did not come"),
)  # fmt: skip
_ANSWER = Field(Whole(), ("plus grande réponse lue, octets", "largest answer read, bytes"))
_SECRET = Field(
    Words(),
    ("les dépôts doivent être signés avec lui",
     "pushes must be signed with it: `whsec_...`, or a list of two while one is replaced"),
)  # fmt: skip
_EVERY = Field(
    TEXT, ("toutes les combien : every 15m, ou cinq champs cron", "how often: every 15m, or five cron fields"),
    required=True,
)  # fmt: skip

#: What a connection of each kind may be told, beside what every one may.
SETTINGS_OF: Mapping[str, Mapping[str, Field]] = {
    "cht": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "database": _DATABASE,
        "page_size": Field(Whole(), ("documents demandés à la fois", "documents asked for at a time")),
        "max_pages": Field(Whole(), ("pages d'une lecture", "pages of one pull")),
        "max_bytes": Field(Whole(), ("plus grande page lue, octets", "largest page or file read, bytes")),
        "max_document_bytes": Field(
            Whole(), ("plus grand document, octets", "largest single document, bytes")
        ),
        "webhook_secret": _SECRET,
    },
    "files": {
        "folder": Field(TEXT, ("dossier surveillé", "folder that is watched"), required=True),
        "format": Field(
            Word(among=("odk", "ndjson", "kobo", "csv")),
            ("odk, kobo ou csv",
             "`odk` (`*.ndjson`: one JSON per line; `*.json`: an OData answer, `{\"value\": [...]}`), "
             "`kobo` (`*.json`: its export) or `csv` (`*.csv`)"),
        ),
        "form": Field(
            TEXT,
            ("nom du formulaire",
             "form name; else the file name up to its first hyphen or dot: `visite-2026-10.ndjson` is of the form "
             "`visite`"),
        ),
        "key": Field(Words(), ("colonne qui nomme la fiche", "column that names the record")),
        "action": Field(TEXT, ("colonne qui dit upsert ou delete", "column that says `upsert` or `delete`")),
        "delimiter": Field(
            Word(pattern=r".|\\t", expected=("un seul caractère", "one character"), example=";"),
            ("séparateur de colonnes", "column delimiter; else found out"),
        ),
        "pattern": Field(
            TEXT, ("noms des fichiers", "names of the files, such as `*.csv`, instead of those of the format")
        ),
        "revision": Field(
            Words(), ("colonnes qui nomment la révision",
                      "columns that name the revision; else the digest of the row")
        ),
        "max_line_bytes": Field(Whole(), ("plus longue ligne, octets", "longest line read, bytes")),
        "max_file_bytes": Field(Whole(), ("plus grand fichier, octets", "largest file read whole, bytes")),
        "webhook_secret": _SECRET,
    },
    "openmrs": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "profile": Field(
            Word(among=("o3", "platform2")),
            ("o3 avec rendez-vous, platform2 sans", "`o3` with appointments, `platform2` encounters only"),
        ),
        "settles_within": _SETTLES,
        "max_answer_bytes": _ANSWER,
    },
    "dhis2": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "token": _TOKEN,
        "gzip": Field(
            FLAG, ("false : ne pas comprimer ce qui est envoyé, si un mandataire le refuse",
                   "`false`: do not compress what is sent, for a proxy before the server that refuses that"),
            default="true",
        ),
        "settles_within": _SETTLES,
        "max_answer_bytes": _ANSWER,
    },
    "dhis2_tracker": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "token": _TOKEN,
        "batch": Field(
            Whole(whole=(1, 1000), pattern=r"[1-9]\d{0,2}|1000"),
            ("personnes ou événements par requête", "people or events per request"), default="100",
        ),
        "settles_within": _SETTLES,
        "max_answer_bytes": _ANSWER,
    },
    "fhir_server": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "token": _TOKEN,
        "bundle": Field(Whole(), ("ressources par requête", "resources per request")),
        "gzip": Field(
            FLAG, ("comprimer ce qui est envoyé, si le serveur le prend",
                   "compress what is sent, for a weak line, where the server takes that (HAPI does)"), default="false",
        ),
        "types": Field(
            Words(Word(among=TYPES)),
            ("types de ressources qui y vont ; sans cette ligne tous",
             "types of resources that go there, each with those it refers to; without it all of them"),
        ),
        "retract": Field(
            Word(among=("delete", "entered_in_error")),
            ("delete : ce qui est retiré y est supprimé ; entered_in_error : il y reste, vide, avec cet état",
             "`delete`: what is taken back is deleted there; `entered_in_error`: it stays, empty, with that status"),
            default="delete",
        ),
        "persons": Field(
            Word(among=("named", "pseudonymous")),
            ("pseudonymous : ni nom, ni jour de naissance, ni texte libre",
             "`pseudonymous`: no name, of the birth date the year alone, nothing that somebody wrote in own words"),
            default="named",
        ),
        "settles_within": _SETTLES,
        "max_answer_bytes": _ANSWER,
    },
    "cht_answers": {
        "url": _URL,
        "user": _USER,
        "password": _PASSWORD,
        "database": _DATABASE,
        "settles_within": _SETTLES,
        "max_answer_bytes": _ANSWER,
    },
}  # fmt: skip
#: What a connection of any kind may be told.
EVERY: Mapping[str, Field] = {
    "timeout": Field(
        Number(pattern=r"\d{1,4}(\.\d{1,3})?", example="60"),
        ("secondes jusqu'à ce qu'on renonce à une réponse", "seconds until an answer is given up"),
    ),
    "insecure": Field(
        FLAG, ("true permet http://, et cela se voit", "`true` allows `http://`; it is shown"), default="false"
    ),
}
SOURCE_KINDS = ("cht", "files", "openmrs")
TARGET_KINDS = ("dhis2", "dhis2_tracker", "openmrs", "fhir_server", "cht_answers")

SOURCES = Group(
    {
        "kind": Field(Word(among=SOURCE_KINDS), ("quelle sorte de source", "what kind of source"), required=True),
        "schedule": _EVERY,
        "silent_after": Field(
            SPAN, ("sans rien recevoir si longtemps, c'est anormal", "nothing for so long: something is wrong"),
            default="3d",
        ),
        "order": Field(
            Word(among=("feed", "comparable", "none")),
            ("qui dit ce qui est actuel quand une fiche connue est déposée",
             "who says what is current when a known record is pushed"),
            default="feed",
        ),
        "ignore": Field(Words(), ("formulaires connus et laissés de côté", "forms that are known and left aside")),
        **EVERY,
    },
    "kind",
    {kind: SETTINGS_OF[kind] for kind in SOURCE_KINDS},
)  # fmt: skip
TARGETS = Group(
    {
        "kind": Field(Word(among=TARGET_KINDS), ("quelle sorte de cible", "what kind of target"), required=True),
        "schedule": _EVERY,
        "live_from": Field(
            TEXT, ("première période, ou premier jour, à envoyer", "first period, or first day, to send")
        ),
        "mode": Field(
            Word(among=("live", "shadow")), ("shadow : compter, comparer, ne rien envoyer",
                                             "shadow: compute, compare, send nothing"), default="live",
        ),
        "on_existing": Field(
            Word(among=("ask", "keep", "overwrite")),
            ("que faire d'un chiffre tapé à la main", "what to do about a figure typed by hand"), default="ask",
        ),
        "vanished": Field(
            Word(among=("zero", "delete")),
            ("que devient un chiffre qui n'est plus", "what becomes of a figure that is no more"), default="zero",
        ),
        **EVERY,
    },
    "kind",
    {kind: SETTINGS_OF[kind] for kind in TARGET_KINDS},
)  # fmt: skip
