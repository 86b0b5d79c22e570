"""Every error code DHIS2 can give for what is sent to it: verdict, who must act, what is wrong and what to do (fr, en).

Sources: ``ErrorCode`` (E76xx up to 2.42, E8xxx since 2.43) and ``ValidationCode`` of the tracker (E1xxx, E4xxx, E5000,
E9999) of DHIS2 2.42.5 and 2.43.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.model import Verdict, Who

Row = tuple[Verdict, Who, str, str]
_A, _R, _D = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED

#: The importer up to 2.42.
_LEGACY: dict[str, Row] = {
    "E7600": (
        _R,
        Who.MAPPING,
        "ensemble de données introuvable ; corrigez le code",
        "data set not found; mend the code",
    ),
    "E7601": (
        _R,
        Who.TARGET_ADMIN,
        "pas de droit d'écriture sur l'ensemble de données ; partagez-le",
        "no write access to the data set; share it",
    ),
    "E7603": (
        _R,
        Who.MAPPING,
        "unité introuvable ; corrigez la table des unités",
        "org unit not found; mend the org unit table",
    ),
    "E7604": (
        _R,
        Who.MAPPING,
        "combinaison d'attributs introuvable",
        "attribute option combo not found; mend the code",
    ),
    "E7610": (
        _R,
        Who.MAPPING,
        "élément de données introuvable ; corrigez le code",
        "data element not found; mend the code",
    ),
    # A good period is refused so when two first pushes race or just after a database restart (findings-dhis2 0.2).
    "E7611": (_D, Who.NOBODY, "période refusée ; Relais réessaie", "period refused for a moment; Relais tries again"),
    "E7612": (
        _R,
        Who.MAPPING,
        "unité introuvable ; corrigez la table des unités",
        "org unit not found; mend the org unit table",
    ),
    "E7613": (_R, Who.MAPPING, "combinaison d'options introuvable", "category option combo not found; mend the codes"),
    "E7614": (
        _R,
        Who.TARGET_ADMIN,
        "pas de droit d'écriture sur une option",
        "no write access to a category option; share it",
    ),
    "E7615": (
        _R,
        Who.MAPPING,
        "combinaison d'attributs introuvable",
        "attribute option combo not found; mend the code",
    ),
    "E7616": (
        _R,
        Who.TARGET_ADMIN,
        "pas de droit d'écriture sur une option",
        "no write access to a category option; share it",
    ),
    "E7617": (
        _R,
        Who.TARGET_ADMIN,
        "unité hors de la hiérarchie du compte de Relais ; élargissez-la",
        "org unit outside the hierarchy of the account of Relais; widen it",
    ),
    "E7618": (_R, Who.SYSADMIN, "Relais a envoyé une case sans valeur", "Relais sent a cell without a value"),
    "E7619": (_R, Who.MAPPING, "valeur d'un autre type que l'élément", "value of another type than the element"),
    "E7620": (_R, Who.MAPPING, "commentaire non valable", "comment not valid"),
    "E7621": (_R, Who.MAPPING, "valeur hors de la liste d'options", "value not in the option set"),
    "E7630": (_R, Who.MAPPING, "combinaison d'options exigée", "category option combo required"),
    "E7631": (_R, Who.MAPPING, "combinaison d'attributs exigée", "attribute option combo required"),
    "E7632": (_R, Who.MAPPING, "type de période non valable pour l'élément", "period type not valid for the element"),
    "E7633": (_R, Who.MAPPING, "élément absent de l'ensemble de données", "element not in the data set"),
    "E7634": (_R, Who.MAPPING, "combinaison étrangère à l'élément", "option combo not of the element"),
    "E7635": (_R, Who.MAPPING, "combinaison d'attributs étrangère à l'ensemble", "attribute combo not of the data set"),
    "E7636": (
        _R,
        Who.TARGET_ADMIN,
        "unité non affectée à l'ensemble ; affectez-la",
        "org unit not assigned to the data set; assign it",
    ),
    "E7637": (_R, Who.SYSADMIN, "auteur non valable", "stored-by not valid"),
    "E7638": (
        _R,
        Who.TARGET_ADMIN,
        "période hors de la validité de l'attribut",
        "period not valid for the attribute combo",
    ),
    "E7639": (
        _R,
        Who.TARGET_ADMIN,
        "unité hors de la validité de l'attribut",
        "org unit not valid for the attribute combo",
    ),
    "E7640": (
        _D,
        Who.MINISTRY,
        "période close à la saisie ; rouvrez-la (exception de verrouillage)",
        "period closed for data entry; reopen it (lock exception)",
    ),
    "E7641": (
        _D,
        Who.NOBODY,
        "période pas encore ouverte à la saisie ; Relais réessaie",
        "period not open for data entry yet; Relais tries again",
    ),
    "E7642": (
        _D,
        Who.MINISTRY,
        "données déjà approuvées ; retirez l'approbation",
        "data already approved; take the approval back",
    ),
    "E7643": (
        _D,
        Who.MINISTRY,
        "fenêtre de saisie fermée ; ouvrez-la",
        "data input window closed; open it",
    ),
    "E7644": (
        _D,
        Who.MINISTRY,
        "fenêtre de saisie fermée ; ouvrez-la",
        "data input window closed; open it",
    ),
    "E7645": (_R, Who.MAPPING, "fichier absent", "file resource missing"),
}

_SET = ("ensemble de données introuvable ; corrigez le code", "data set not found; mend the code")
_ELEMENT = ("élément de données introuvable ; corrigez le code", "data element not found; mend the code")
_UNIT = ("unité introuvable ; corrigez la table des unités", "org unit not found; mend the org unit table")
_COMBO = ("combinaison d'options introuvable", "category option combo not found; mend the codes")
_ATTRIBUTE = ("combinaison d'attributs introuvable", "attribute option combo not found; mend the code")
_OURS = ("requête mal formée ; signalez-le", "request not well formed; report it")

#: The importer since 2.43.
_V43: dict[str, Row] = {
    "E8000": (_R, Who.SYSADMIN, *_OURS),
    # Only of a request that names no data set, and ours always does.
    "E8002": (_R, Who.SYSADMIN, "plusieurs ensembles de données possibles", "several data sets are possible"),
    "E8003": (_R, Who.SYSADMIN, "éléments d'aucun ensemble de données", "elements of no data set"),
    "E8004": (_R, Who.MAPPING, *_SET),
    "E8005": (_R, Who.MAPPING, *_SET),
    "E8007": (_R, Who.SYSADMIN, *_OURS),
    "E8008": (_R, Who.SYSADMIN, *_OURS),
    "E8009": (_R, Who.SYSADMIN, *_OURS),
    "E8010": (
        _R,
        Who.TARGET_ADMIN,
        "pas de droit d'écriture sur l'ensemble de données ; partagez-le",
        "no write access to the data set; share it",
    ),
    "E8011": (
        _R,
        Who.TARGET_ADMIN,
        "unité hors de la hiérarchie du compte de Relais ; élargissez-la",
        "org unit outside the hierarchy of the account of Relais; widen it",
    ),
    "E8012": (
        _R,
        Who.TARGET_ADMIN,
        "pas de droit d'écriture sur une option",
        "no write access to a category option; share it",
    ),
    "E8020": (_R, Who.MAPPING, "élément absent de l'ensemble de données", "element not in the data set"),
    "E8021": (_R, Who.MAPPING, "type de période non valable pour l'ensemble", "period type not valid for the data set"),
    "E8022": (
        _R,
        Who.TARGET_ADMIN,
        "unité non affectée à l'ensemble ; affectez-la",
        "org unit not assigned to the data set; assign it",
    ),
    "E8023": (_R, Who.MAPPING, "combinaison d'attributs étrangère à l'ensemble", "attribute combo not of the data set"),
    "E8024": (_R, Who.MAPPING, "combinaison étrangère à l'élément", "option combo not of the element"),
    "E8025": (
        _R,
        Who.TARGET_ADMIN,
        "unité hors de la validité de l'attribut",
        "org unit not valid for the attribute combo",
    ),
    # Past its expiry, or outside its input window; not open yet is ``dhis2.period_not_open`` (2.43: 122-138).
    "E8030": (
        _D,
        Who.MINISTRY,
        "période close à la saisie ; rouvrez-la (exception de verrouillage). 2.43.0 et 2.43.1 lisent les fenêtres de "
        "saisie à l'envers : n'en ouvrez pas, retirez-les du jeu ou mettez DHIS2 à jour. Après 2.43.1, ouvrez la "
        "fenêtre",
        "period closed for data entry; reopen it (lock exception). 2.43.0 and 2.43.1 read data input periods the wrong "
        "way round: open none, remove them from the set or update DHIS2. After 2.43.1, open the input period",
    ),
    "E8031": (
        _D,
        Who.TARGET_ADMIN,
        "unité fermée, ou pas encore ouverte, pour cette période ; corrigez ses dates",
        "org unit closed, or not open yet, for this period; mend its dates",
    ),
    "E8032": (
        _R,
        Who.TARGET_ADMIN,
        "période hors de la validité de l'attribut",
        "period not valid for the attribute combo",
    ),
    "E8033": (
        _D,
        Who.MINISTRY,
        "données déjà approuvées ; retirez l'approbation",
        "data already approved; take the approval back",
    ),
    "E8100": (_R, Who.SYSADMIN, *_OURS),
    "E8102": (_R, Who.MAPPING, *_ELEMENT),
    "E8103": (_R, Who.MAPPING, *_ELEMENT),
    "E8104": (_R, Who.MAPPING, *_ELEMENT),
    "E8105": (_R, Who.MAPPING, *_UNIT),
    "E8106": (_R, Who.MAPPING, *_UNIT),
    "E8107": (_R, Who.MAPPING, *_UNIT),
    "E8108": (_R, Who.MAPPING, *_COMBO),
    "E8109": (_R, Who.MAPPING, *_COMBO),
    "E8110": (_R, Who.MAPPING, *_ATTRIBUTE),
    "E8111": (_R, Who.MAPPING, *_ATTRIBUTE),
    "E8120": (_R, Who.SYSADMIN, "Relais a envoyé une case sans valeur", "Relais sent a cell without a value"),
    "E8121": (
        _R,
        Who.SYSADMIN,
        "Relais a envoyé une case sans valeur ni commentaire",
        "Relais sent a cell with neither value nor comment",
    ),
    "E8122": (_R, Who.MAPPING, "valeur d'un autre type que l'élément", "value of another type than the element"),
    "E8123": (_R, Who.MAPPING, "valeur hors de la liste d'options", "value not in the option set"),
    "E8124": (_R, Who.MAPPING, "commentaire non valable", "comment not valid"),
    "E8125": (_R, Who.SYSADMIN, "auteur non valable", "stored-by not valid"),
    "E8126": (_R, Who.MAPPING, *_COMBO),
    "E8127": (_R, Who.MAPPING, *_ATTRIBUTE),
    # Such rows are held back before (dhis2.duplicate_row): what comes all the same is a mistake of ours.
    "E8128": (_R, Who.SYSADMIN, "Relais a envoyé deux fois la même case", "Relais sent the same cell twice"),
}

#: The tracker: codes of one kind, and their row.
_TRACKER: tuple[tuple[str, Row], ...] = (
    (
        "E1000 E1001 E1003 E1083 E1091 E1095 E1096 E1099 E1100 E1102 E1103 E1104 E4020",
        (
            _R,
            Who.TARGET_ADMIN,
            "le compte de Relais n'a pas accès ; élargissez ses unités, ses partages ou ses droits",
            "the account of Relais has no access; widen its org units, its sharing or its authorities",
        ),
    ),
    (
        "E1005 E1006 E1010 E1011 E1013 E1049 E1068 E1069 E1070 E1115 E1116 E1117 E4006 E4012",
        (_R, Who.MAPPING, "objet introuvable ; corrigez les codes", "an object is not found; mend the codes"),
    ),
    (
        "E1002 E1030 E1080 E1063 E1032 E1081 E1119 E4015 E4016",
        (
            _R,
            Who.SYSADMIN,
            "l'objet existe déjà, ou n'existe pas ; signalez-le",
            "the object is there already, or is not there; report it",
        ),
    ),
    (
        "E1007 E1302 E1125 E1077 E1012 E1009 E1084 E1085 E1118 E4001 E4010 E4014",
        (_R, Who.MAPPING, "valeur non valable ; corrigez la traduction", "value not valid; mend the mapping"),
    ),
    (
        "E1018 E1090 E1303 E1121 E1122 E1123 E1124 E1025 E1031 E1023 E1033 E1046 E1050 E1074 E1075 E1076 E1313",
        (_R, Who.MAPPING, "champ obligatoire absent", "a mandatory field is missing; mend the mapping"),
    ),
    (
        "E1019 E1304 E1305 E1022 E1029 E1041 E1079 E1089 E1008 E1014 E1054 E1055 E1120 E4000",
        (
            _R,
            Who.MAPPING,
            "étranger au programme, à l'étape ou à l'unité",
            "not part of the program, the stage or the org unit; mend the codes",
        ),
    ),
    (
        "E1048",
        (_R, Who.SYSADMIN, "Relais a donné un identifiant mal formé", "Relais gave an id that is none; report it"),
    ),
    (
        "E1126 E1127 E1128 E1051 E1052 E1315 E1316",
        (
            _R,
            Who.TARGET_ADMIN,
            "l'objet ne se change pas ainsi dans DHIS2 ; voyez son état là-bas",
            "the object cannot be changed so in DHIS2; see its state there",
        ),
    ),
    (
        "E1112",
        (
            _R,
            Who.TARGET_ADMIN,
            "attribut confidentiel, et ce serveur ne chiffre pas ; réglez le chiffrement",
            "a confidential attribute, and this server does not encrypt; set up its encryption",
        ),
    ),
    (
        "E1020 E1021",
        (_D, Who.NOBODY, "date à venir ; Relais réessaie", "a date in the future; Relais tries again"),
    ),
    (
        "E1043 E1047",
        (
            _D,
            Who.MINISTRY,
            "période close à la saisie ; rouvrez-la",
            "period closed for data entry; reopen it",
        ),
    ),
    (
        "E1326",
        (
            _D,
            Who.MINISTRY,
            "formulaire verrouillé une fois terminé ; rouvrez-le",
            "the form is blocked once completed; reopen it",
        ),
    ),
    (
        "E1056 E1057",
        (
            _R,
            Who.TARGET_ADMIN,
            "date hors de la validité de l'option",
            "date not valid for the category option",
        ),
    ),
    (
        "E1064 E1015 E1016 E4018",
        (
            _R,
            Who.TARGET_ADMIN,
            "doublon : il existe sous un autre identifiant, que Relais n'a pas trouvé ; voyez dans DHIS2",
            "duplicate: it is there under another id that Relais did not find; resolve it in DHIS2",
        ),
    ),
    (
        "E1039",
        (
            _R,
            Who.TARGET_ADMIN,
            "l'étape ne se répète pas et a déjà un événement ; rendez-la répétable, puis relancez",
            "the stage is not repeatable and has an event already; make it repeatable, then retry",
        ),
    ),
    (
        "E1300 E1301 E1306 E1307 E1309 E1314 E1317",
        (_R, Who.MAPPING, "une règle du programme le refuse", "a rule of the program refuses it"),
    ),
    ("E1308 E1310", (_A, Who.NOBODY, "une règle a donné une valeur", "a rule of the program set a value")),
    (
        "E1082 E1113 E1114 E4017",
        (
            _R,
            Who.TARGET_ADMIN,
            "supprimé dans DHIS2 ; son identifiant reste pris",
            "deleted in DHIS2; its id stays taken",
        ),
    ),
    (
        "E5000",
        (
            _D,
            Who.NOBODY,
            "refusé à cause d'un autre objet ; Relais réessaie, et dit ce qui manque à celui-là",
            "refused because of another object; Relais tries again, and says what is wrong with that one",
        ),
    ),
    ("E9999", (_D, Who.NOBODY, "erreur sans nom ; Relais réessaie", "an error without a name; Relais tries again")),
)

#: What Relais does now and what is left to do, by verdict and who: the end of a sentence that does not say so itself.
NOW: Mapping[tuple[Verdict, Who], tuple[str, str]] = {
    (_R, Who.MAPPING): (
        "Relais met l'envoi de côté ; une fois le paquet corrigé, relancez-le.",
        "Relais parks the delivery; once the pack is mended, retry it.",
    ),
    (_R, Who.TARGET_ADMIN): (
        "Relais met l'envoi de côté ; une fois cela réglé dans DHIS2, relancez-le.",
        "Relais parks the delivery; once this is settled in DHIS2, retry it.",
    ),
    (_R, Who.SYSADMIN): (
        "Relais met l'envoi de côté ; signalez-le avec la réponse gardée.",
        "Relais parks the delivery; report it with the answer kept.",
    ),
    (_D, Who.MINISTRY): ("Relais attend et redemande de lui-même.", "Relais waits and asks again by itself."),
    (_D, Who.TARGET_ADMIN): ("Relais attend et redemande de lui-même.", "Relais waits and asks again by itself."),
}

CODES: dict[str, Row] = {
    **_LEGACY,
    **_V43,
    **{code: row for codes, row in _TRACKER for code in codes.split()},
}
