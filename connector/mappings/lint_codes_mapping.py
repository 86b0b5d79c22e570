"""Codes of the dictionary, the forms, their expressions and their examples."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.model import Severity

_NEAREST = ("{nearest}", "{nearest}")
_ABSENT = ("Le fait manquerait sur chaque fiche, sans le dire.", "The fact would be missing on every record, silently.")
_NO_MEANING = (
    "Relais ne saurait pas ce que c'est : sorte, unité, réponses, codes.",
    "Relais would not know what it is: kind, unit, answers, codes.",
)
_NOT_ASKED = (
    "Une question non posée deviendrait une erreur, ou un « oui ».",
    "A question that was not asked would become an error, or a yes.",
)
_USELESS = (
    "Une ligne de trop cache souvent une faute de frappe ailleurs.",
    "A line too many often hides a slip elsewhere.",
)

MAPPING: Mapping[str, Code] = {
    # ---------------------------------------------------------------- names
    "source.unknown": Code(
        ("il n'y a pas de source {name}", "there is no source {name}"),
        ("Aucune fiche n'arriverait à cette correspondance.", "No record would ever reach this mapping."),
        _NEAREST,
    ),
    "activity.unknown": Code(
        ("{what}il n'y a pas d'activité {name}", "{what}there is no activity {name}"),
        ("Rien ne serait compté ni envoyé.", "Nothing would be counted or sent."),
        _NEAREST,
    ),
    "concept.unknown": Code(
        ("{what}il n'y a pas de concept {name}", "{what}there is no concept {name}"),
        _NO_MEANING,
        _NEAREST,
    ),
    "fact.unknown": Code(
        ("{what}il n'y a pas de fait {name}{where}", "{what}there is no fact {name}{where}"),
        (
            "Un fait qui n'existe pas est toujours absent : la condition ne tient jamais.",
            "A fact that does not exist is always absent: the condition never holds.",
        ),
        _NEAREST,
    ),
    "form.unknown": Code(
        ("il n'y a pas de formulaire {name} à côté", "there is no form {name} beside this"),
        ("L'exemple ne montre rien.", "The example shows nothing."),
        _NEAREST,
    ),
    # ---------------------------------------------------------------- concepts
    "code.no_answer": Code(
        ("{what} : {code} n'est pas une réponse de {concept}", "{what}: {code} is not an answer of {concept}"),
        (
            "La valeur serait refusée sur chaque fiche et le fait manquerait.",
            "The value would be refused on every record and the fact be missing.",
        ),
        _NEAREST,
    ),
    "code.not_coded": Code(
        ("{name} a des codes et est {kind}", "{name} has codes and is {kind}"),
        ("Une table rend du texte ; ce fait n'en est pas.", "A table gives text; this fact is none."),
        ("Rendez le concept coded, ou retirez codes.", "Make the concept coded, or remove codes."),
    ),
    "concept.no_answers": Code(
        ("{name} est coded et n'a pas de réponses", "{name} is coded and has no answers"),
        ("N'importe quelle valeur passerait pour une réponse.", "Any value at all would pass for an answer."),
        ("Donnez ses réponses : answers: [...]", "List its answers: answers: [...]"),
    ),
    "coding.check_digit": Code(
        ("{system} {code} : le chiffre de contrôle ne va pas", "{system} {code}: the check digit does not fit"),
        (
            "Un chiffre est faux : le serveur qui reçoit lirait un autre concept, ou aucun.",
            "A digit is wrong: the server that receives it would read another concept, or none.",
        ),
        ("Recopiez le code depuis sa source.", "Copy the code again from where it comes."),
    ),
    "plausible.not_number": Code(
        ("{name} est {kind} : plausible est pour des nombres", "{name} is {kind}: plausible is for numbers"),
        ("Rien n'en serait vérifié.", "Nothing of it would be checked."),
        ("Ôtez plausible, ou écrivez kind: integer.", "Remove plausible, or write kind: integer."),
    ),
    "plausible.empty": Code(
        ("{name} : plausible va de {low} à {high}", "{name}: plausible goes from {low} to {high}"),
        (
            "Toutes les valeurs seraient invraisemblables, ou aucune.",
            "Every value would be implausible, or none.",
        ),
        (
            "Écrivez from, to ou les deux ; to n'est pas plus petit.",
            "Write from, to or both; to is not the smaller one.",
        ),
    ),
    "coding.twice": Code(
        ("{system} {code} est déjà le code de {other}", "{system} {code} is already the code of {other}"),
        (
            "Deux questions différentes seraient la même pour qui reçoit.",
            "Two different questions would be one to whoever receives them.",
        ),
        ("Vérifiez lequel des deux a ce code.", "Check which of the two has this code."),
        Severity.WARNING,
    ),
    "coding.differs": Code(
        (
            "{concept} est {code} ici et {other} dans concepts.yaml",
            "{concept} is {code} here and {other} in concepts.yaml",
        ),
        (
            "Le centre de santé et les autres destinataires recevraient deux choses différentes.",
            "The clinic and the others who receive it would be told two different things.",
        ),
        ("Vérifiez lequel des deux est juste.", "Check which of the two is right."),
        Severity.WARNING,
    ),
    "kind.unused": Code(
        ("{name} est {what}, et sa sorte est {kind}", "{name} is {what}, and its kind is {kind}"),
        (
            "Sa sorte ne change rien ici : qui la lit croit autre chose, ou une autre question était voulue.",
            "Its kind changes nothing here: whoever reads it believes otherwise, or another question was meant.",
        ),
        ("Écrivez {usual}.", "Write {usual}."),
        Severity.WARNING,
    ),
    "form.folder": Code(
        (
            "la correspondance est dans forms/{folder}/ et dit la source {source}",
            "the mapping lies in forms/{folder}/ and says the source {source}",
        ),
        (
            "Les fiches de {folder} n'auraient pas de correspondance, et celles de {source} une fausse.",
            "Records of {folder} would have no mapping, and those of {source} a wrong one.",
        ),
        ("Corrigez source, ou déplacez le fichier.", "Mend source, or move the file."),
        Severity.WARNING,
    ),
    "form.slip": Code(
        (
            "le formulaire s'appelle {name} et le fichier {file}.yaml",
            "the form is called {name} and the file {file}.yaml",
        ),
        (
            "Les fiches d'un formulaire mal nommé n'ont pas de correspondance et sont mises de côté.",
            "Records of a misspelt form have no mapping and are set aside.",
        ),
        (
            "Écrivez le même nom : celui que l'application donne au formulaire.",
            "Write the same name: the one the app gives the form.",
        ),
        Severity.WARNING,
    ),
    "name.language": Code(
        ("{what} n'a pas de nom en {language}", "{what} has no name in {language}"),
        (
            "Les pages et DHIS2 montreraient un nom dans une autre langue.",
            "Pages and DHIS2 would show a name in another language.",
        ),
        ("Ajoutez {language}: ...", "Add {language}: ..."),
        Severity.WARNING,
    ),
    # ---------------------------------------------------------------- forms
    "form.purpose": Code(
        ("donnez soit activity, soit registers", "give either activity or registers"),
        ("Relais ne sait pas quoi faire de ces fiches.", "Relais does not know what to do with these records."),
        ("activity: ...  ou  registers: person", "activity: ...  or  registers: person"),
    ),
    "form.twice": Code(
        ("le formulaire {name} de {source} est traduit deux fois", "form {name} of {source} is mapped twice"),
        ("Une fiche ne peut devenir qu'une chose.", "A record can become one thing only."),
        ("Gardez-en une. L'autre : {first}", "Keep one. The other is {first}"),
    ),
    "form.ignored": Code(
        ("le formulaire {name} de {source} est traduit et ignoré", "form {name} of {source} is mapped and ignored"),
        ("Ses fiches ne seraient pas comptées.", "Its records would not be counted."),
        ("Retirez l'un des deux.", "Remove one of the two."),
    ),
    "form.no_subject": Code(
        (
            "{activity} parle d'une personne et ce formulaire ne dit pas laquelle",
            "{activity} is about a person and this form does not say whom",
        ),
        (
            "Sans elle ni âge ni sexe, ni ressources FHIR, ni références.",
            "Without it no age or sex, no FHIR resources, no referrals.",
        ),
        ("Ajoutez  subject: chemin.de.la.personne", "Add  subject: path.of.the.person"),
    ),
    "form.no_place": Code(
        (
            "{activity} est compté et ce formulaire ne dit pas où",
            "{activity} is counted and this form does not say where",
        ),
        ("Sans lieu une fiche n'est comptée nulle part.", "Without a place a record is counted nowhere."),
        ("Ajoutez  place: chemin.du.lieu", "Add  place: path.of.the.place"),
    ),
    "fact.way": Code(
        (
            "{what} : donnez un seul de value, first, constant, each, rows",
            "{what}: give one of value, first, constant, each, rows",
        ),
        _ABSENT,
        ("value: chemin.de.la.réponse", "value: path.of.the.answer"),
    ),
    "fact.uncounted": Code(
        ("personne ne compte ni n'envoie {name}", "nobody counts or sends {name}"),
        (
            "Ou bien le fait est inutile, ou bien l'indicateur qui devait le lire en lit un autre.",
            "Either the fact is of no use, or the indicator that should read it reads another.",
        ),
        (
            "Lisez-le dans un indicateur, donnez-lui sa place en FHIR, ou retirez-le. Pour le garder exprès : "
            "kept: true à son entrée de concepts.yaml.",
            "Read it in an indicator, give it its place in FHIR, or remove it. To keep it on purpose: kept: true at "
            "its entry in concepts.yaml.",
        ),
        Severity.WARNING,
    ),
    # ---------------------------------------------------------------- expressions
    "expression.syntax": Code(
        ("{what} : {problem}", "{what}: {problem}"),
        _ABSENT,
        (
            "Corrigez à cet endroit. Le langage : docs/informatician.md et jsonata.org",
            "Mend it at this place. The language: docs/informatician.md and jsonata.org",
        ),
    ),
    "expression.function": Code(
        ("il n'y a pas de fonction ni de variable ${name}", "there is no function or variable ${name}"),
        ("L'expression échouerait sur chaque fiche.", "The expression would fail on every record."),
        _NEAREST,
    ),
    "expression.raw_number": Code(
        ("$number sur ce qui peut manquer : {source}", "$number over what may be absent: {source}"),
        _NOT_ASKED,
        (
            "Écrivez $num(x) : absent reste absent, et la virgule décimale est lue.",
            "Use $num(x): absent stays absent, and a decimal comma is read.",
        ),
    ),
    "expression.raw_split": Code(
        ("$split sur ce qui peut manquer : {source}", "$split over what may be absent: {source}"),
        _NOT_ASKED,
        ("Écrivez $options(x), qui lit aussi une liste.", "Use $options(x), which also reads a list."),
    ),
    "expression.raw_not": Code(
        ("$not sur ce qui peut manquer : {source}", "$not over what may be absent: {source}"),
        _NOT_ASKED,
        (
            "Écrivez x = false, qui ne tient pas quand x n'a pas été demandé.",
            "Use x = false, which is not met when x was not asked.",
        ),
    ),
    "path.unseen": Code(
        ("{path} n'est dans aucune fiche d'exemple", "{path} is in none of the example records"),
        (
            "Un chemin mal écrit n'est pas une erreur : la réponse est absente, sur chaque fiche, sans le dire.",
            "A path with a typo is no error: the answer is absent, on every record, silently.",
        ),
        (
            "{nearest} S'il est juste, mettez-le dans un exemple.",
            "{nearest} If it is right, put it into an example.",
        ),
        Severity.WARNING,
    ),
    "option.unmapped": Code(
        ("{what} : aucun code pour la réponse {value!r}", "{what}: no code for the answer {value!r}"),
        (
            "Chaque fiche avec cette réponse perd le fait.",
            "Every record with this answer loses the fact.",
        ),
        (
            "Ajoutez {value!r} à la table (« ~ » : non demandé). L'exemple : {file}, ligne {line}.",
            "Add {value!r} to the table (~: not asked). The example is at {file}, line {line}.",
        ),
        Severity.WARNING,
    ),
    "answer.unseen": Code(
        (
            "{value!r} n'est la réponse d'aucune fiche d'exemple",
            "{value!r} is an answer in none of the example records",
        ),
        (
            "Une réponse mal écrite n'est jamais celle de la fiche : la comparaison ne tient jamais, sans le dire.",
            "An answer with a typo never equals the one of a record: the comparison never holds, silently.",
        ),
        (
            "{nearest} Si elle est juste, mettez-la dans un exemple.",
            "{nearest} If it is right, put it into an example.",
        ),
        Severity.WARNING,
    ),
    "condition.code": Code(
        (
            "{what}{fact} ne vaut jamais {value!r}",
            "{what}{fact} is never {value!r}",
        ),
        (
            "Une comparaison avec une réponse qui n'existe pas ne tient jamais, sans le dire.",
            "A comparison with an answer that does not exist never holds, silently.",
        ),
        _NEAREST,
    ),
    "condition.type": Code(
        (
            "{what}{fact} est {kind} et comparé à {value}",
            "{what}{fact} is {kind} and compared with {value}",
        ),
        (
            "Deux sortes de valeurs ne sont jamais égales, et ne se comparent pas.",
            "Two kinds of value are never equal, and cannot be ordered.",
        ),
        ("Par exemple  {example}", "For example  {example}"),
    ),
    # ---------------------------------------------------------------- examples
    "example.missing": Code(
        ("{what} n'a pas d'exemple", "{what} has no example"),
        (
            "Rien ne dit qu'il fait ce qu'on croit, ni ne le dira au prochain changement.",
            "Nothing says that it does what is believed, nor will at the next change.",
        ),
        ("Ajoutez-en un dans {file}", "Add one in {file}"),
        Severity.WARNING,
    ),
    "example.orphan": Code(
        ("il n'y a pas de {file} à côté de ces exemples", "there is no {file} beside these examples"),
        ("Ils n'essaient rien.", "They try nothing."),
        _NEAREST,
        Severity.WARNING,
    ),
    # ---------------------------------------------------------------- what nobody uses
    "unused.concept": Code(
        ("rien ne donne ni ne nomme le concept {name}", "nothing gives or names the concept {name}"),
        _USELESS,
        ("Donnez-le dans un formulaire, ou retirez-le.", "Give it in a form, or remove it."),
        Severity.WARNING,
    ),
    "unused.activity": Code(
        ("aucun formulaire ne donne l'activité {name}", "no form gives the activity {name}"),
        _USELESS,
        ("Traduisez un formulaire, ou retirez-la.", "Map a form, or remove it."),
        Severity.WARNING,
    ),
    "unused.derived": Code(
        ("rien ne lit le fait dérivé {name}", "nothing looks at the derived fact {name}"),
        _USELESS,
        ("Lisez-le dans un indicateur, ou retirez-le.", "Read it in an indicator, or remove it."),
        Severity.WARNING,
    ),
    "unused.source": Code(
        ("aucun formulaire ne vient de la source {name}", "no form comes from the source {name}"),
        ("Toutes ses fiches iraient en quarantaine.", "All its records would go to quarantine."),
        ("Traduisez un de ses formulaires, ou retirez-la.", "Map one of its forms, or remove it."),
        Severity.WARNING,
    ),
}
