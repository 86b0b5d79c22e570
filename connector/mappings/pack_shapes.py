"""The files of a pack, declared: which keys there are, what each may hold, what it is for in French and English.

The readers (``config_*.py``) ask for keys by name and get what is declared here; ``relais check`` reports what is not;
``relais schema`` writes it for editors. A new key is added here and read there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from connector import periods
from connector.mappings.concepts import KINDS
from connector.mappings.connection_shapes import SOURCES, TARGETS
from connector.mappings.shapes import (
    FLAG,
    TEXT,
    Anything,
    Either,
    Expression,
    Field,
    Group,
    ListOf,
    MapOf,
    Named,
    Number,
    Shape,
    Texts,
    Whole,
    Word,
    Words,
)

ENTITIES = ("person", "place", "worker")
AGGREGATES = ("count", "sum", "distinct", "first", "latest")
REGISTERED = ("person", "place", "worker", "deployments")
DISTINCT = ("subject", "worker", "household", "group", "place")
AGES = ("age_days", "age_months", "age_years")
#: Relais's own jobs that a pack may schedule.
JOBS = ("reconcile", "seal", "purge")

#: What a fact is called: a name that can stand in an expression.
FACT_NAME = Word(
    pattern=r"[A-Za-z_][A-Za-z0-9_]{0,62}",
    expected=("un nom : lettres, chiffres et _, sans espace ni accent", "a name: letters, digits and _, no spaces"),
    example="muac_mm",
)
#: What anything else is called.
ID = Word(
    pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
    expected=("un nom : lettres, chiffres, _ . et -", "a name: letters, digits, _ . and -"),
    example="MH_SEC",
)
EXPRESSION = Expression(expected=("une expression", "an expression"), example="$yes(fields.fever)")
NAME = Texts()

# ---------------------------------------------------------------- connector.yaml

_KEPT = Word(
    pattern=r"\s*\d{1,4}\s*(d|days?|months?|years?)\s*",
    code="span.invalid",
    expected=("une durée", "a span"),
    example="24 months",
)

CONNECTOR = Group(
    {
        "pack": Field(
            Group(
                {
                    "id": Field(
                        Word(
                            pattern=r"[a-z0-9][a-z0-9.-]{1,62}",
                            code="pack.id",
                            expected=("minuscules, chiffres, points et tirets", "small letters, digits, dots, hyphens"),
                            example="mali-health",
                        ),
                        ("le nom du paquet, pour toujours", "the name of the pack, for ever"),
                        required=True,
                    ),
                    "name": Field(NAME, ("comment on l'appelle", "what people call it")),
                }
            ),
            ("ce paquet", "this pack"),
            required=True,
        ),
        "zone": Field(
            TEXT,
            ("le fuseau horaire où l'on compte les jours et les mois", "the time zone days and months are counted in"),
            required=True,
        ),
        "languages": Field(
            Words(Word(pattern="[a-z]{2,3}", expected=("un code de langue", "a language code"), example="fr")),
            ("les langues, la première d'abord", "the languages, the first one first"),
        ),
        "sources": Field(MapOf(SOURCES), ("ce que Relais lit", "what Relais reads"), required=True),
        "targets": Field(MapOf(TARGETS), ("ce que Relais écrit", "what Relais writes"), required=True),
        "schedules": Field(
            Group(
                {
                    "reconcile": Field(TEXT, ("relire les cibles et comparer", "read the targets back and compare")),
                    "seal": Field(TEXT, ("sceller le journal d'audit", "seal the audit trail")),
                    "purge": Field(TEXT, ("oublier ce qui est assez vieux", "forget what is old enough")),
                }
            ),
            ("le travail propre à Relais", "Relais's own work"),
        ),
        "retention": Field(
            Group(
                {
                    "body": Field(_KEPT, ("la fiche telle que reçue", "the record as received"), default="90d"),
                    "activity": Field(_KEPT, ("de quoi recompter", "what counting again needs"), default="24 months"),
                }
            ),
            ("combien de temps on garde", "how long things are kept"),
        ),
    }
)

# ---------------------------------------------------------------- concepts.yaml, activities.yaml, categories.yaml

CODE_SYSTEMS: Mapping[str, Word] = {
    "ciel": Word(pattern=r"[1-9]\d{0,6}", expected=("un numéro CIEL", "a CIEL number"), example="140238",
                 whole=(1, 9_999_999)),
    "loinc": Word(pattern=r"\d{1,7}-\d", expected=("un code LOINC", "a LOINC code"), example="70569-9"),
    "snomed": Word(pattern=r"[1-9]\d{5,17}", expected=("un code SNOMED CT", "a SNOMED CT code"), example="386661006",
                   whole=(100_000, 999_999_999_999_999_999)),
    "icd11": Word(pattern=r"[0-9A-HJ-NP-Z]{4}(\.[0-9A-HJ-NP-Z]{1,2})?", expected=("un code CIM-11", "an ICD-11 code"),
                  example="MG26", whole=(1000, 9999)),
    "who": Word(pattern=r"[A-Z]{2,6}(\.[A-Z]{1,3}\d{0,4})+", expected=("un code de l'OMS", "a WHO code"),
                example="ANC.B6.DE17"),
}  # fmt: skip
#: HL7's observation-category.
_OBSERVATION = (
    "social-history", "vital-signs", "imaging", "laboratory", "procedure", "survey", "exam", "therapy", "activity",
)  # fmt: skip

CONCEPTS = Group(
    {
        "concepts": Field(
            ListOf(
                Group(
                    {
                        "id": Field(FACT_NAME, ("le nom du fait", "the name of the fact"), required=True),
                        "kind": Field(Word(among=KINDS), ("la sorte de valeur", "the kind of value"), required=True,
                                      default="text"),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "codings": Field(
                            Group({system: Field(word) for system, word in CODE_SYSTEMS.items()}
                                  | {"from": Field(TEXT, ("où les codes ont été lus", "where the codes were read"))}),
                            ("ses codes ailleurs", "its codes elsewhere"),
                        ),
                        "unit": Field(TEXT, ("unité UCUM, ou monnaie", "UCUM unit, or currency")),
                        "answers": Field(
                            Either(group=MapOf(TEXT), list=Words(),
                                   expected=("une liste, ou réponse: concept", "a list, or answer: concept")),
                            ("les réponses d'un fait codé", "the answers of a coded fact"),
                        ),
                        "fhir": Field(
                            Group(
                                {
                                    "resource": Field(Word(among=("Observation",)), ("où il va", "where it goes")),
                                    "category": Field(Word(among=_OBSERVATION), ("catégorie HL7", "HL7 category")),
                                    "condition": Field(TEXT, ("le diagnostic qu'il fait aussi",
                                                              "the diagnosis it also makes")),
                                    "when": Field(Words(), ("pour ces réponses", "for these answers")),
                                    "below": Field(Number(), ("en dessous de ce nombre", "below this number")),
                                }
                            ),
                            ("ce qu'il devient en FHIR", "what it becomes in FHIR"),
                        ),
                        "plausible": Field(
                            Group({"from": Field(Number(), ("à partir de (compris)", "from (included)")),
                                   "to": Field(Number(), ("jusqu'à (compris)", "to (included)")),
                                   "counts": Field(FLAG, ("hors de là il compte quand même",
                                                          "outside it counts all the same"), default="false")}),
                            ("les nombres vraisemblables : ailleurs il est gardé, signalé, ni compté ni envoyé",
                             "the likely numbers: elsewhere it is kept, flagged, neither counted nor sent"),
                        ),
                        "kept": Field(FLAG, ("gardé exprès, même si rien ne le compte ni ne l'envoie encore",
                                             "kept on purpose, even if nothing counts or sends it yet")),
                    }
                )
            ),
            ("le dictionnaire", "the dictionary"),
            required=True,
        ),
        "versions": Field(
            Group({system: Field(TEXT) for system in CODE_SYSTEMS}),
            ("la version de chaque système de codes où ses codes ont été vérifiés ; chaque codage FHIR la porte",
             "the version of each code system its codes were checked against; every FHIR coding bears it"),
        ),
    }
)  # fmt: skip

#: What else is said of an activity that becomes this resource; said of another it would do nothing.
_FHIR_OF_SHAPE: Mapping[str, Mapping[str, Field]] = {
    "encounter": {
        "class": Field(Word(among=("HH", "FLD", "AMB", "VR")), ("où", "where")),
        "type": Field(TEXT, ("le code du genre de visite", "the code of the kind of visit")),
    },
    "questionnaire_response": {},
    "task": {
        "due": Field(FACT_NAME, ("le fait du jour prévu", "the fact of the day due")),
        "done": Field(FACT_NAME, ("le fait du jour fait", "the fact of the day done")),
    },
    "none": {},
}

ACTIVITIES = Group(
    {
        "activities": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("le nom de cette sorte d'activité", "the name of this kind"), required=True),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "facts": Field(Words(), ("les faits qu'on en attend", "the facts expected of it")),
                        "fhir": Field(
                            Group(
                                {
                                    "shape": Field(
                                        Word(among=tuple(_FHIR_OF_SHAPE)),
                                        ("la ressource qu'elle devient", "the resource it becomes"),
                                        required=True,
                                    ),
                                    "subject": Field(
                                        Word(among=("person", "group", "worker", "place", "none")),
                                        ("de qui il s'agit", "whom it is about"),
                                        default="none",
                                    ),
                                },
                                "shape",
                                _FHIR_OF_SHAPE,
                            ),
                            ("sa forme en FHIR", "its shape in FHIR"),
                        ),
                    }
                )
            ),
            ("ce qui peut arriver", "what can happen"),
            required=True,
        ),
        "derived": Field(MapOf(EXPRESSION), ("les faits tirés d'autres faits", "facts worked out from other facts")),
    }
)

CATEGORIES = Group(
    {
        "categories": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("son nom dans le paquet", "its name in the pack"), required=True),
                        "code": Field(ID, ("son code dans DHIS2 (sinon id)", "its code in DHIS2 (else id)")),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "prefix": Field(ID, ("début du code des options (sinon id)",
                                             "first part of the options' codes (else id)")),
                        "fact": Field(FACT_NAME, ("le fait qu'elle lit", "the fact it reads"), required=True),
                        "options": Field(
                            ListOf(
                                Group(
                                    {
                                        "id": Field(ID, ("la réponse du fait, ou le nom de la tranche",
                                                         "the answer of the fact, or the name of the band"),
                                                    required=True),
                                        "code": Field(ID, ("son code dans DHIS2", "its code in DHIS2")),
                                        "name": Field(NAME, ("comment on l'appelle", "what people call it"),
                                                      required=True),
                                        "from": Field(Whole(), ("à partir de (compris)", "from (included)"),
                                                      default="0"),
                                        "below": Field(Whole(), ("en dessous de (non compris)",
                                                                 "below (not included)"), default="1000000"),
                                        "measured_in": Field(Word(among=AGES), ("mesurée en", "measured in")),
                                    }
                                )
                            ),
                            ("ses options, dans l'ordre", "its options, in order"),
                            required=True,
                        ),
                    }
                )
            ),
            ("comment les chiffres sont ventilés", "how figures are split"),
            required=True,
        )
    }
)  # fmt: skip

# ---------------------------------------------------------------- forms


def _fact() -> Shape:
    return FACT_SHAPE


FACT = Named("fact", _fact)
FACTS = MapOf(FACT)
FACT_SHAPE = Either(
    scalar=EXPRESSION,
    group=Group(
        {
            "value": Field(EXPRESSION, ("le chemin ou l'expression", "the path or expression")),
            "first": Field(Words(EXPRESSION), ("la première qui a une réponse", "the first one with an answer")),
            "constant": Field(TEXT, ("toujours cette valeur", "always this value")),
            "each": Field(EXPRESSION, ("la liste dont chaque élément donne items", "the list whose items give items")),
            "items": Field(FACTS, ("les faits de chaque élément", "the facts of each item")),
            "rows": Field(ListOf(FACTS), ("une ligne de faits par élément", "one row of facts per item")),
            "codes": Field(
                Either(
                    scalar=Word(pattern=r"[\w/.-]+\.csv", example="tables/sex.csv",
                                expected=("un fichier CSV du paquet", "a CSV file of the pack")),
                    group=MapOf(TEXT, holes=True),
                    expected=("un fichier CSV, ou réponse: sens", "a CSV file, or answer: meaning"),
                ),
                ("ce que chaque réponse veut dire", "what each answer means"),
            ),
        }
    ),
    expected=("une expression, ou {value: ...}", "an expression, or {value: ...}"),
)  # fmt: skip

REFERRAL = ("when", "to", "urgent", "reason", "reasons", "note")
HEADS = ("date", "time", "place", "worker", "subject", "key")

FORM = Group(
    {
        "form": Field(
            Group(
                {
                    "source": Field(ID, ("la source, comme dans connector.yaml", "the source, as in connector.yaml"),
                                    required=True),
                    "name": Field(Words(), ("le nom du formulaire (ou plusieurs)", "the form's name (or several)"),
                                  required=True),
                }
            ),
            ("de quel formulaire il s'agit", "which form this is"),
            required=True,
        ),
        "activity": Field(TEXT, ("l'activité qu'il devient", "the activity it becomes")),
        "registers": Field(Word(among=ENTITIES), ("ou ce qu'il inscrit au registre", "or what it registers")),
        "date": Field(FACT, ("le jour du service", "the day of service")),
        "time": Field(FACT, ("un instant de ce jour", "an instant on that day")),
        "place": Field(FACT, ("le lieu, comme dans org_units.csv", "the place, as in org_units.csv")),
        "worker": Field(FACT, ("qui a saisi", "who recorded it")),
        "subject": Field(FACT, ("la personne, le ménage ou le groupe", "the person, household or group")),
        "key": Field(FACT, ("ce qui nomme la fiche", "what names the record")),
        "facts": Field(FACTS, ("fait: expression", "fact: expression")),
        "referral": Field(
            Group({key: Field(FACT, required=key == "when") for key in REFERRAL}),
            ("la référence vers un centre de santé", "the referral to a clinic"),
        ),
    }
)  # fmt: skip

# ---------------------------------------------------------------- episodes.yaml, registers.yaml

_DAYS = Whole(pattern=r"-?(\d{1,3}|1000)", whole=(-1000, 1000), expected=("un nombre de jours", "a number of days"))
_WORKED_OUT = Field(MapOf(EXPRESSION), ("les faits qu'on en tire", "the facts worked out from it"))

EPISODES = Group(
    {
        "episodes": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("son nom, compté comme une activité", "its name, counted like an activity"),
                                    required=True),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "opens": Field(Words(), ("les activités qui l'ouvrent", "the activities that open it"),
                                       required=True),
                        "key": Field(EXPRESSION, ("de qui ou de quoi", "whose or of what"), required=True),
                        "when": Field(EXPRESSION, ("ce qui doit en être vrai", "what must be true of it")),
                        "merges": Field(Whole(pattern=r"\d{1,3}|1000", whole=(0, 1000)),
                                        ("une ouverture si proche n'en est pas une autre",
                                         "an opening so soon after is no other")),
                        "members": Field(
                            ListOf(
                                Group(
                                    {
                                        "kind": Field(TEXT, ("l'activité", "the activity"), required=True),
                                        "key": Field(EXPRESSION, ("ce qu'il dit", "what it says")),
                                        "matches": Field(EXPRESSION, ("ce que dit l'ouverture",
                                                                      "what the opening says")),
                                        "from": Field(_DAYS, ("à partir de tant de jours après", "from so many days"),
                                                      default="0"),
                                        "to": Field(_DAYS, ("jusqu'à tant de jours après", "to so many days"),
                                                    default="0"),
                                    }
                                )
                            ),
                            ("les autres fiches", "the other records"),
                        ),
                        "facts": _WORKED_OUT,
                        "day": Field(FACT_NAME, ("le fait qui dit son jour", "the fact that says its day")),
                    }
                )
            ),
            ("les fiches qui vont ensemble", "records that belong together"),
            required=True,
        )
    }
)  # fmt: skip

REGISTERS = Group(
    {
        "registers": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("son nom, compté comme une activité", "its name, counted like an activity"),
                                    required=True),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "of": Field(Word(among=REGISTERED), ("ce qui y est inscrit", "what is registered"),
                                    required=True),
                        "role": Field(TEXT, ("quels lieux", "which places")),
                        "group": Field(TEXT, ("quel groupe de deployments.csv", "which group of deployments.csv")),
                        "when": Field(EXPRESSION, ("qui compte", "who counts")),
                        "members": Field(MapOf(EXPRESSION), ("activité: où elle nomme l'agent",
                                                             "activity: where it names the worker")),
                        "deadline": Field(Whole(pattern=r"\d{1,3}|1000", whole=(0, 1000)),
                                          ("jours après la fin de la période", "days after the end of the period")),
                        "facts": _WORKED_OUT,
                    }
                )
            ),
            ("qui et ce qu'il y a", "who and what there is"),
            required=True,
        )
    }
)  # fmt: skip

# ---------------------------------------------------------------- indicators, dhis2.yaml

#: How one part is counted: written for the whole indicator, or for a part that stands alone.
_RULE: Mapping[str, Field] = {
    "counts": Field(
        Words(),
        ("les activités, épisodes ou registres qu'il compte", "the activities, episodes or registers it counts"),
    ),
    "where": Field(EXPRESSION, ("ce qui doit être vrai", "what must be true")),
    "aggregate": Field(Word(among=AGGREGATES), ("comment on compte (sinon count)", "how it is counted (else count)")),
    "distinct": Field(Word(among=DISTINCT), ("ce qui compte une fois", "what counts once")),
    "distinct_at_least": Field(
        Whole(pattern=r"[1-9]\d{0,2}|1000", whole=(1, 1000)), ("au moins tant de fiches", "so many records at least")
    ),
    "each": Field(FACT_NAME, ("la liste dont chaque élément compte", "the list whose items count")),
    "by": Field(Words(), ("les catégories, dans l'ordre", "the categories, in order")),
    "among": Field(
        EXPRESSION, ("parmi lesquelles la première ou la dernière", "among which the first or latest is chosen")
    ),
    "period": Field(FACT_NAME, ("le fait qui dit la période", "the fact that says the period")),
}
_PART = Either(
    scalar=EXPRESSION,
    group=Group({**_RULE, "amount": Field(EXPRESSION, ("ce qu'on additionne", "what is added up"))}),
    expected=("une condition, ou {counts: ..., where: ...}", "a condition, or {counts: ..., where: ...}"),
)  # fmt: skip

INDICATORS = Group(
    {
        "area": Field(
            ID,
            (
                "le domaine de santé, un nom à vous (nutrition) ; on range les indicateurs dessous, c'est tout",
                "the area of health, a name of your own (nutrition); indicators are listed under it, that is all",
            ),
            required=True,
            default="sec",
        ),
        "data_set": Field(TEXT, ("le jeu de données de tous ceux-ci", "the data set of all of these")),
        "indicators": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("son nom, pour toujours", "its name, for ever"), required=True),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        **_RULE,
                        "denominator": Field(_PART, ("dont", "out of which")),
                        "numerator": Field(_PART, ("parmi ceux-là", "of those")),
                        "amount": Field(
                            Either(
                                scalar=EXPRESSION,
                                group=Group({"numerator": Field(EXPRESSION, required=True),
                                             "denominator": Field(EXPRESSION, required=True)}),
                                expected=("une expression, ou {numerator: ..., denominator: ...}",
                                          "an expression, or {numerator: ..., denominator: ...}"),
                            ),
                            ("ce qu'on additionne", "what is added up"),
                        ),
                        "data_set": Field(TEXT, ("son jeu de données", "its data set")),
                        "chis": Field(Word(pattern=r"CH\d{3}[a-z]?", example="CH052c",
                                           expected=("un code du paquet CHIS", "a code of the CHIS package")),
                                      ("son code dans le paquet CHIS", "its code in the CHIS package")),
                        "periodicity": Field(Word(among=periods.PERIOD_TYPES),
                                             ("sa périodicité, à comparer avec celle du jeu de données",
                                              "its period type, compared with that of its data set")),
                        "definition": Field(NAME, ("ce qui est compté, en mots", "what is counted, in words")),
                        "on_change": Field(
                            Word(among=("keep", "mark_incomplete")),
                            ("si des chiffres changent alors que c'est complet dans DHIS2",
                             "when figures change while it is complete in DHIS2"),
                            default="keep",
                        ),
                        "small": Field(Whole(), ("signaler les chiffres de 1 à moins de ce nombre",
                                                 "flag figures from 1 to below this number")),
                    }
                )
            ),
            ("ce qui est compté", "what is counted"),
            required=True,
        ),
    }
)  # fmt: skip

DHIS2 = Group(
    {
        "data_elements": Field(
            Group(
                {
                    "prefix": Field(TEXT, ("début de chaque code", "first part of every code")),
                    "numerator": Field(TEXT, ("fin du code d'un numérateur", "last part of a numerator's code"),
                                       default="_NUM"),
                    "denominator": Field(TEXT, ("fin du code d'un dénominateur", "last part of a denominator's code"),
                                         default="_DEN"),
                    "exceptions": Field(MapOf(TEXT), ("ceux qui ont un autre code", "those with another code")),
                }
            ),
            ("comment les éléments de données s'appellent", "what data elements are called"),
            required=True,
        ),
        "data_sets": Field(
            ListOf(
                Group(
                    {
                        "id": Field(ID, ("son nom dans le paquet", "its name in the pack"), required=True),
                        "code": Field(ID, ("son code dans DHIS2 (sinon id)", "its code in DHIS2 (else id)")),
                        "name": Field(NAME, ("comment on l'appelle", "what people call it"), required=True),
                        "period": Field(Word(among=periods.PERIOD_TYPES), ("sa périodicité", "its period type"),
                                        required=True, default="Monthly"),
                        "level": Field(TEXT, ("le niveau où l'on saisit", "the level values are entered at"),
                                       required=True),
                        "complete": Field(TEXT, ("le groupe dont on attend tous les rapports",
                                                 "the group whose reports are all awaited")),
                        "deadline": Field(Whole(), ("à l'heure : jusqu'à ce jour après la période",
                                                    "on time: by this day after the period")),
                        "gaps_after": Field(Whole(), ("complet malgré les manquants après tant de jours",
                                                      "complete with gaps after so many days")),
                        "on_change": Field(
                            Word(among=("keep", "mark_incomplete")),
                            ("si des chiffres changent alors que c'est complet dans DHIS2",
                             "when figures change while it is complete in DHIS2"),
                            default="keep",
                        ),
                        "small": Field(Whole(), ("signaler les chiffres de 1 à moins de ce nombre",
                                                 "flag figures from 1 to below this number")),
                        "release": Field(
                            Either(
                                scalar=Word(among=("none", "after_approval")),
                                group=Group(
                                    {
                                        "after": Field(Word(among=("approval",)), ("après quoi", "after what"),
                                                       required=True),
                                        "margin": Field(
                                            Word(pattern=r"\d{1,6}(\.\d{1,2})? ?%?", example="5%", whole=(0, 999_999),
                                                 expected=("une part ou un nombre", "a share or a count")),
                                            ("écart qui ne redemande pas", "difference that asks nobody again"),
                                        ),
                                    }
                                ),
                                expected=("none, after_approval, ou {after: approval, margin: 5%}",
                                          "none, after_approval, or {after: approval, margin: 5%}"),
                            ),
                            ("si les chiffres attendent une approbation", "whether figures await approval"),
                        ),
                        "send_zero": Field(FLAG, ("envoyer aussi les zéros", "send noughts too"), default="false"),
                    }
                )
            ),
            ("les jeux de données", "the data sets"),
            required=True,
        ),
    }
)  # fmt: skip

# ---------------------------------------------------------------- tracker.yaml

_SENT = Either(
    scalar=FACT_NAME,
    group=Group(
        {
            "fact": Field(FACT_NAME, ("le fait", "the fact"), required=True),
            "codes": Field(MapOf(TEXT), ("sa réponse -> le code de l'option dans DHIS2",
                                         "its answer -> the code of the option in DHIS2")),
        }
    ),
    expected=("un fait, ou {fact: ..., codes: {...}}", "a fact, or {fact: ..., codes: {...}}"),
)  # fmt: skip
TRACKER = Group(
    {
        "program": Field(TEXT, ("le code du programme dans DHIS2", "the program's code in DHIS2"), required=True),
        "level": Field(TEXT, ("le niveau où les événements sont saisis", "the level events are entered at"),
                       required=True),
        "attributes": Field(
            MapOf(_SENT),
            ("le code de l'attribut dans DHIS2 -> ce qu'on sait de la personne",
             "the attribute's code in DHIS2 -> what is known of the person"),
            required=True,
        ),
        "stages": Field(
            ListOf(
                Group(
                    {
                        "id": Field(TEXT, ("le code de l'étape dans DHIS2, ou son identifiant",
                                           "the stage's code in DHIS2, or its identifier"), required=True),
                        "activity": Field(ID, ("chaque fiche de cette activité est un événement",
                                               "each record of this activity is an event"), required=True),
                        "data_elements": Field(
                            MapOf(_SENT),
                            ("le code de l'élément dans DHIS2 -> le fait",
                             "the data element's code in DHIS2 -> the fact"),
                            required=True,
                        ),
                    }
                )
            ),
            ("quelle activité va à quelle étape", "which activity goes to which stage"),
            required=True,
        ),
    }
)  # fmt: skip

# ---------------------------------------------------------------- openmrs.yaml

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{1,8}A{28,35}"
UUID = Word(pattern=_UUID, expected=("un uuid", "a uuid"), example="87dcc3ac-1496-5c49-bac5-2b1cd8ffdfa4")
CONCEPT = Word(
    pattern=rf"{_UUID}|CIEL:[1-9]\d{{0,6}}",
    expected=("un uuid, ou CIEL:numéro", "a uuid, or CIEL:number"),
    example="CIEL:1643",
)

OPENMRS = Group(
    {
        "profile": Field(Word(among=("o3", "platform2")), ("ce que cet OpenMRS sait", "what this OpenMRS can do")),
        "identifier_types": Field(
            Group(
                {
                    "openmrs_id": Field(UUID, ("le numéro du centre", "the clinic's own number"), required=True),
                    "chw": Field(UUID, ("le numéro chez l'ASC", "the CHW's number"), required=True),
                    "national": Field(UUID, ("le numéro d'identité national : cherché, jamais écrit",
                                             "the national identifier: looked for, never written")),
                }
            ),
            required=True,
        ),
        "idgen_source": Field(UUID, ("ce qui donne les numéros", "what gives numbers"), required=True),
        "encounter_type": Field(UUID, ("le type de visite d'une référence", "the visit type of a referral"),
                                required=True),
        "clinical_encounter_types": Field(Words(UUID), ("ce qui vaut « vu au centre »", "what counts as seen")),
        "provider": Field(UUID, ("qui tient lieu d'ASC", "stands for the CHW")),
        "encounter_role": Field(UUID, ("son rôle", "the role")),
        "phone_attribute": Field(UUID, ("où va le téléphone", "where the phone goes")),
        "concepts": Field(
            Group(
                {key: Field(CONCEPT, required=key in ("number", "reason", "urgency"))
                 for key in ("number", "reason", "urgency", "note", "treatment", "diagnosis", "counter_referral_note")}
            ),
            ("les concepts d'une référence", "the concepts of a referral"),
            required=True,
        ),
        "answers": Field(
            Group({"reason": Field(MapOf(CONCEPT)),
                   "urgency": Field(Group({"urgent": Field(CONCEPT), "routine": Field(CONCEPT)})),
                   "treatment": Field(MapOf(CONCEPT), ("ce que l'ASC a donné : un fait, vrai s'il a été donné",
                                                       "what the CHW gave: a fact, true when it was given"))}),
            ("les réponses de ces concepts", "the answers of these concepts"),
        ),
        "observations": Field(
            MapOf(
                Group(
                    {
                        "concept": Field(CONCEPT, required=True),
                        "value": Field(CONCEPT, ("envoyé quand le fait est vrai", "sent when the fact is true")),
                        "answers": Field(MapOf(CONCEPT), ("pour un fait codé", "for a coded fact")),
                        "factor": Field(Number(), ("vers l'unité du centre", "into the clinic's unit")),
                    }
                )
            ),
            ("les constats que le centre voit", "the findings the clinic sees"),
        ),
        "appointment": Field(
            Group({"days_after": Field(Whole(whole=(0, 99), pattern=r"\d{1,2}")),
                   "hour": Field(Whole(whole=(0, 23), pattern=r"[01]?\d|2[0-3]")),
                   "minutes": Field(Whole(whole=(0, 999), pattern=r"\d{1,3}"))}),
            ("le rendez-vous", "the appointment"),
        ),
        "match": Field(
            Group({"ask_from": Field(Whole(whole=(1, 99), pattern=r"[1-9]\d?"),
                                     ("dès tant de points une personne décide",
                                      "from so many points on a person decides"))}),
            ("les dossiers qui ressemblent", "patients who look alike"),
        ),
        "answer_days": Field(Whole(), ("jusqu'à quand une visite est la réponse", "until when a visit is the answer")),
        "places": Field(
            MapOf(Group({"location": Field(UUID, required=True), "service": Field(UUID)})),
            ("l'aire -> le lieu et le service du centre", "the area -> location and service of its clinic"),
        ),
    }
)  # fmt: skip

# ---------------------------------------------------------------- examples

_PERSON = Field(MapOf(Anything()), ("la personne, du registre", "the person, from the registry"))
_LINES = MapOf(Words())

FORM_TEST = Group(
    {
        "examples": Field(
            ListOf(
                Group(
                    {
                        "name": Field(TEXT, ("ce que l'exemple montre", "what the example shows")),
                        "form": Field(TEXT, ("lequel, s'il y en a plusieurs", "which one, where there are several")),
                        "key": Field(TEXT, ("le nom de la fiche", "the name of the record")),
                        "record": Field(MapOf(Anything(), holes=True), ("la fiche", "the record"), required=True),
                        "person": _PERSON,
                        "expect": Field(
                            Group(
                                {
                                    **{key: Field(TEXT) for key in ("activity", "date", "at", "place", "worker",
                                                                    "subject", "entity", "error")},
                                    "facts": Field(MapOf(Anything(), holes=True)),
                                    "absent": Field(Words()),
                                    "flags": Field(Words()),
                                    "referral": Field(MapOf(Anything(), holes=True)),
                                    "counts": Field(_LINES),
                                    "resources": Field(ListOf(TEXT), ("des ressources FHIR", "FHIR resources")),
                                    "cells": Field(ListOf(TEXT), ("des chiffres pour DHIS2", "figures for DHIS2")),
                                }
                            ),
                            ("ce qui doit en sortir", "what must come of it"),
                        ),
                        "then": Field(
                            ListOf(
                                Group(
                                    {
                                        "record": Field(MapOf(Anything(), holes=True),
                                                        ("la fiche corrigée", "the record as corrected")),
                                        "deleted": Field(FLAG, ("ou la fiche est supprimée",
                                                                "or the record is deleted"), default="false"),
                                        "expect": Field(
                                            Group(
                                                {
                                                    "changes": Field(
                                                        ListOf(TEXT),
                                                        ("les chiffres qui changent, et de combien",
                                                         "the figures that change, and by how much"),
                                                    ),
                                                    "error": Field(TEXT),
                                                }
                                            ),
                                            ("ce que cela change", "what that changes"),
                                            required=True,
                                        ),
                                    }
                                )
                            ),
                            ("ce qui arrive ensuite à la même fiche", "what happens next to the same record"),
                        ),
                    }
                )
            ),
            required=True,
        )
    }
)  # fmt: skip

INDICATOR_TEST = Group(
    {
        "examples": Field(
            ListOf(
                Group(
                    {
                        "name": Field(TEXT, ("ce que l'exemple montre", "what the example shows")),
                        "activity": Field(TEXT, ("l'activité", "the activity"), required=True),
                        "date": Field(Word(pattern=r"\d{4}-\d\d-\d\d", expected=("un jour", "a day"),
                                           example="2026-07-15")),
                        "facts": Field(MapOf(Anything(), holes=True)),
                        "person": _PERSON,
                        "expect": Field(_LINES, ("indicateur: ce qui est compté", "indicator: what is counted")),
                    }
                )
            ),
            required=True,
        )
    }
)  # fmt: skip

_DAY = Word(pattern=r"\d{4}-\d\d-\d\d", expected=("un jour", "a day"), example="2026-07-15")
_MEMBERS = Field(
    ListOf(
        Group(
            {
                "activity": Field(TEXT, ("l'activité", "the activity"), required=True),
                "date": Field(_DAY, required=True),
                "facts": Field(MapOf(Anything(), holes=True)),
                **{key: Field(TEXT) for key in ("id", "subject", "worker")},
            }
        )
    ),
    ("les fiches", "the records"),
)  # fmt: skip

EPISODE_TEST = Group(
    {
        "examples": Field(
            ListOf(
                Group(
                    {
                        "name": Field(TEXT, ("ce que l'exemple montre", "what the example shows")),
                        "episode": Field(TEXT, ("lequel", "which one"), required=True),
                        "person": _PERSON,
                        "records": Field(_MEMBERS.shape, _MEMBERS.doc, required=True),
                        "expect": Field(
                            ListOf(
                                Group(
                                    {
                                        "date": Field(_DAY),
                                        "facts": Field(MapOf(Anything(), holes=True)),
                                        "absent": Field(Words()),
                                        "counts": Field(_LINES),
                                    }
                                )
                            ),
                            ("les épisodes, dans l'ordre", "the episodes, in order"),
                            required=True,
                        ),
                    }
                )
            ),
            required=True,
        )
    }
)  # fmt: skip

REGISTER_TEST = Group(
    {
        "examples": Field(
            ListOf(
                Group(
                    {
                        "name": Field(TEXT, ("ce que l'exemple montre", "what the example shows")),
                        "register": Field(TEXT, ("lequel", "which one"), required=True),
                        "period": Field(TEXT, ("la période de DHIS2", "the period of DHIS2")),
                        "data": Field(MapOf(Anything(), holes=True), ("ce que dit le registre",
                                                                      "what the registry says")),
                        "records": Field(Whole(), ("combien de fiches", "how many records")),
                        "members": _MEMBERS,
                        "expect": Field(_LINES, ("indicateur: ce qui est compté", "indicator: what is counted")),
                    }
                )
            ),
            required=True,
        )
    }
)  # fmt: skip

CATEGORY_TEST = Group(
    {
        "examples": Field(
            ListOf(
                Group(
                    {
                        "name": Field(TEXT),
                        "category": Field(TEXT, required=True),
                        "facts": Field(MapOf(Anything(), holes=True)),
                        "option": Field(TEXT, required=True),
                    }
                )
            ),
            required=True,
        )
    }
)


@dataclass(frozen=True, slots=True)
class FileKind:
    """``files``: which files of a pack are of this kind, as patterns."""

    files: tuple[str, ...]
    shape: Group
    says: tuple[str, str]


KINDS_OF_FILE: Mapping[str, FileKind] = {
    "connector": FileKind(("connector.yaml",), CONNECTOR, ("sources, cibles, horaires", "sources, targets, schedules")),
    "concepts": FileKind(("concepts.yaml",), CONCEPTS, ("le dictionnaire", "the dictionary")),
    "activities": FileKind(("activities.yaml",), ACTIVITIES, ("ce qui peut arriver", "what can happen")),
    "categories": FileKind(("categories.yaml",), CATEGORIES, ("les ventilations", "how figures are split")),
    "form": FileKind(("forms/*/*.yaml",), FORM, ("la correspondance d'un formulaire", "the mapping of a form")),
    "indicators": FileKind(("indicators/*.yaml",), INDICATORS, ("ce qui est compté", "what is counted")),
    "episodes": FileKind(
        ("episodes.yaml",), EPISODES, ("les fiches qui vont ensemble", "records that belong together")
    ),
    "registers": FileKind(("registers.yaml",), REGISTERS, ("qui et ce qu'il y a", "who and what there is")),
    "dhis2": FileKind(("dhis2.yaml",), DHIS2, ("jeux de données et codes", "data sets and codes")),
    "tracker": FileKind(
        ("tracker.yaml",), TRACKER, ("les personnes et visites dans DHIS2", "people and visits in DHIS2")
    ),
    "openmrs": FileKind(("openmrs.yaml",), OPENMRS, ("les centres de santé", "the clinics")),
    "form_test": FileKind(("forms/*/*.test.yaml",), FORM_TEST, ("exemples d'un formulaire", "examples of a form")),
    "indicator_test": FileKind(
        ("indicators/*.test.yaml",), INDICATOR_TEST, ("exemples d'indicateurs", "examples of indicators")
    ),
    "episode_test": FileKind(("episodes.test.yaml",), EPISODE_TEST, ("exemples d'épisodes", "examples of episodes")),
    "register_test": FileKind(
        ("registers.test.yaml",), REGISTER_TEST, ("exemples de registres", "examples of registers")
    ),
    "category_test": FileKind(
        ("categories.test.yaml",), CATEGORY_TEST, ("exemples de catégories", "examples of categories")
    ),
}


@lru_cache(maxsize=1024)
def kind_of(name: str) -> FileKind | None:
    """The kind of a file of a pack by its path; a pattern with ``.test`` is more exact than one without."""
    found = [
        one
        for one in KINDS_OF_FILE.values()
        if any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in one.files)
    ]
    return max(found, key=lambda one: max(map(len, one.files)), default=None)
