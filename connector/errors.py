"""The error tree. Each docstring is the message: what happened, what Relais does now, what a person should do.
``french`` beside it says the same; an error that is raised with a message of its own is given both.

RelaisError
├── ConfigError          PackBroken · SecretMissing · WrongKey · KeyReadable · SchemaDiffers
├── SourceError          SourceUnavailable · SourceRefused · SourceWaiting · CursorLost · PageUnreadable
├── PushUnreadable       nothing is kept, the sender is told
├── MappingError         the record goes to quarantine
├── StoreError           StoreBusy (StoreUnreachable) · StoreFull · ChainBroken
├── LaneBusy · TargetUnreadable · TargetRefused
├── PlanChanged · PlanUnknown
├── TooManyOpen
├── NotSame
└── RunLocked
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self


class Reason(Protocol):
    """A row of a table of reasons, as far as it matters here."""

    @property
    def fr(self) -> str: ...

    @property
    def en(self) -> str: ...


class RelaisError(Exception):
    """Something went wrong. Relais stopped this step and kept what it had. See the message."""

    code = "relais.error"
    exit_code = 1
    #: The docstring in French; of an error that was raised, what it says: ``str(error)`` is English.
    french = "Quelque chose a échoué. Relais a arrêté cette étape et gardé ce qu'il avait. Voyez le message."

    def __init__(self, message: str = "", *, french: str = "") -> None:
        super().__init__(message)
        if french or message:  # a message without French comes from an adapter of others
            self.french = french or f"{type(self).french} ({message})"

    def __str__(self) -> str:
        return super().__str__() or self.english()

    @classmethod
    def english(cls) -> str:
        """What the class says by itself: its docstring as one line."""
        return " ".join((cls.__doc__ or "").split()).replace("``", '"')

    @classmethod
    def about(cls, english: str, french: str = "") -> Self:
        """What the class says by itself, then what it is about; ``french`` when that has words."""
        return cls(f"{cls.english()} {english}", french=f"{cls.french} {french or english}")


class ConfigError(RelaisError):
    """The configuration cannot be used. Relais does nothing until it is mended. Run ``relais check``."""

    code = "config.error"
    exit_code = 2
    french = (
        "La configuration ne peut pas être utilisée. Relais ne fait rien tant qu'elle n'est pas corrigée. Lancez "
        "« relais check »."
    )


class PackBroken(ConfigError):
    """The configuration pack has errors. Nothing was sent. Mend the lines listed and run ``relais check`` again."""

    code = "config.pack_broken"
    french = (
        "Le paquet de configuration a des erreurs. Rien n'a été envoyé. Corrigez les lignes indiquées et relancez "
        "« relais check »."
    )


class SecretMissing(ConfigError):
    """A secret or address the pack names is not set. Relais did not start. Set the variable or file it names."""

    code = "config.secret_missing"
    french = (
        "Un secret ou une adresse que le paquet nomme n'est pas défini. Relais n'a pas démarré. Définissez la "
        "variable ou le fichier indiqué."
    )


class WrongKey(ConfigError):
    """The master key does not open this database. Nothing was written. Give RELAIS_MASTER_KEY(_FILE) the key this
    database was made with; it was printed by ``relais key new`` and is in no backup."""

    code = "key.wrong"
    french = (
        "La clé maîtresse n'ouvre pas cette base de données. Rien n'a été écrit. Mettez dans RELAIS_MASTER_KEY (ou "
        "RELAIS_MASTER_KEY_FILE) la clé avec laquelle cette base a été créée ; « relais key new » l'avait affichée, "
        "et elle n'est dans aucune sauvegarde."
    )


class KeyReadable(ConfigError):
    """The master key file can be read by others. Relais refuses it. Make it readable by its owner only (chmod 600)."""

    code = "key.readable"
    french = (
        "Le fichier de la clé maîtresse peut être lu par d'autres. Relais le refuse. Rendez-le lisible par son seul "
        "propriétaire (chmod 600)."
    )


class SchemaDiffers(ConfigError):
    """The tables of the database are not those of this version of Relais. Nothing was written. Run ``relais db
    upgrade`` when they are older; when they are newer, install the newer Relais again."""

    code = "database.schema"
    french = (
        "Les tables de la base ne sont pas celles de cette version de Relais. Rien n'a été écrit. Si elles sont "
        "plus anciennes, lancez « relais db upgrade » ; si elles sont plus récentes, réinstallez le Relais plus "
        "récent."
    )


class SourceError(RelaisError):
    """A source could not be read. What was read before is kept; the cursor did not move past it. Nobody has to act
    unless ``relais status`` says so."""

    code = "source.error"
    who = "nobody"
    french = (
        "Une source n'a pas pu être lue. Ce qui a été lu avant est gardé ; la lecture reprendra au même endroit. "
        "Personne n'a rien à faire, sauf si « relais status » le dit."
    )
    retry_after: float | None = None

    def __init__(
        self, message: str = "", *, french: str = "", code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, french=french)
        if code:
            self.code = code
        self.retry_after = retry_after


class SourceUnavailable(SourceError):
    """The source is out of reach or starting up. Relais tries again at the next run. Nobody has to act yet."""

    code = "source.unavailable"
    french = (
        "La source est injoignable ou en cours de démarrage. Relais réessaie au prochain passage. Personne n'a rien "
        "à faire pour l'instant."
    )


class SourceWaiting(SourceError):
    """The source asks to wait (429 or temporarily locked). Relais waits and tries again. Nobody has to act."""

    code = "source.waiting"
    french = (
        "La source demande d'attendre (429, ou compte bloqué pour un moment). Relais attend et réessaie. Personne "
        "n'a rien à faire."
    )


class SourceRefused(SourceError):
    """The source refuses the credentials. Relais stopped asking, so that the account is not locked. The sysadmin
    should check the user and password of this source, then run again."""

    code = "source.credentials"
    who = "credentials"
    french = (
        "La source refuse les identifiants. Relais ne la demande plus, pour que le compte ne soit pas bloqué. "
        "L'administrateur de Relais doit vérifier l'utilisateur et le mot de passe de cette source, puis relancer."
    )


class CursorLost(SourceError):
    """The source does not know the cursor any more. Relais reads it from the start again; nothing is deleted and
    nothing is counted twice. Nobody has to act."""

    code = "source.cursor_lost"
    french = (
        "La source ne sait plus jusqu'où Relais l'a lue. Relais la relit depuis le début ; rien n'est effacé et "
        "rien n'est compté deux fois. Personne n'a rien à faire."
    )


class PageUnreadable(SourceError):
    """The source sent a page that is cut, too big or not what was asked for. Nothing of it was kept; Relais asks
    again at the next run. If it stays, the sysadmin should look at the source."""

    code = "source.page_unreadable"
    who = "sysadmin"
    french = (
        "La source a envoyé une page coupée, trop grande ou autre que celle demandée. Rien n'en a été gardé ; "
        "Relais la redemande au prochain passage. Si cela dure, l'administrateur de Relais doit regarder la source."
    )


class PushUnreadable(RelaisError):
    """A document that was pushed cannot be read, or lacks what names it. Nothing of it was kept and the sender was
    told so (422). Whoever set up the push should send the whole document. Carries names of fields, never a value."""

    code = "ingest.unreadable"
    french = (
        "Un document déposé ne peut pas être lu, ou il lui manque ce qui le nomme. Rien n'en a été gardé et "
        "l'expéditeur en a été informé (422). Qui a réglé ce dépôt doit envoyer le document entier. Seuls des noms "
        "de champs sont cités, jamais une valeur."
    )

    def __init__(self, missing: Sequence[str] = ()) -> None:
        super().__init__()
        self.missing = tuple(missing)  #: fields that are not there; empty: it is no JSON object


class MappingError(RelaisError):
    """The record could not be mapped. It is kept in quarantine and everything else flows on. The mapping author
    should look at the place named and run ``relais remap``. Carries the place, never a value of the record."""

    code = "mapping.error"
    french = (
        "La fiche n'a pas pu être traduite. Elle est gardée en quarantaine et tout le reste continue. L'auteur des "
        "correspondances doit regarder l'endroit indiqué et lancer « relais remap ». Seul l'endroit est cité, "
        "jamais une valeur de la fiche."
    )

    def __init__(self, code: str, *, path: str = "", file: str = "", line: int = 0, detail: str = "") -> None:
        super().__init__(f"{code}: {path} {detail}".strip())
        self.code = code
        self.path = path
        self.file = file
        self.line = line
        self.detail = detail


class StoreError(RelaisError):
    """The database failed. Nothing was half-written. See the message."""

    code = "store.error"
    french = "La base de données a échoué. Rien n'a été écrit à moitié. Voyez le message."


class StoreBusy(StoreError):
    """The database is locked by another program. Relais wrote nothing and tries again. If it stays, the sysadmin
    should see what else has the database open."""

    code = "store.busy"
    exit_code = 5
    french = (
        "La base de données est verrouillée par un autre programme. Relais n'a rien écrit et réessaie. Si cela "
        "dure, l'administrateur de Relais doit chercher quel autre programme tient la base ouverte."
    )


class StoreUnreachable(StoreBusy):
    """The database does not answer, or the connection to it broke. Relais assumes nothing of the step it was in and
    tries again. If it stays, the sysadmin should look at the database server and the way to it."""

    code = "store.unreachable"
    french = (
        "La base de données ne répond pas, ou la connexion s'est rompue. Relais ne tient rien de cette étape pour "
        "acquis et réessaie. Si cela dure, l'administrateur de Relais doit regarder le serveur de la base et le "
        "chemin qui y mène."
    )


class StoreFull(StoreError):
    """The disk is full. Relais wrote nothing and takes in nothing until there is room. The sysadmin should free
    space; then everything goes on by itself."""

    code = "store.full"
    french = (
        "Le disque est plein. Relais n'a rien écrit et ne reçoit plus rien tant qu'il n'y a pas de place. "
        "L'administrateur de Relais doit libérer de l'espace ; ensuite tout reprend tout seul."
    )


class ChainBroken(StoreError):
    """The audit trail was altered. Relais reports the first bad entry. The sysadmin should keep the database as it
    is and compare with the signed heads kept elsewhere."""

    code = "audit.broken"
    exit_code = 3
    french = (
        "Le journal d'audit a été altéré. Relais indique la première entrée fausse. L'administrateur de Relais doit "
        "laisser la base telle qu'elle est et comparer avec les têtes signées gardées ailleurs."
    )


class LaneBusy(RelaisError):
    """Another worker is doing a step that must go alone. This delivery waits its turn. Nobody has to act."""

    code = "lane.busy"
    exit_code = 5
    french = (
        "Un autre processus fait une étape qui ne se fait que seule. Cet envoi attend son tour. Personne n'a rien à "
        "faire."
    )


class TargetUnreadable(RelaisError):
    """The target could not be read back. Nothing is assumed; Relais looks again later. Nobody has to act yet."""

    code = "target.unreadable"
    exit_code = 5
    french = (
        "La cible n'a pas pu être relue. Relais ne suppose rien et relira plus tard. Personne n'a rien à faire pour "
        "l'instant."
    )

    reason = ""  #: code of the table of reasons, where there is one

    @classmethod
    def because(cls, reason: str, why: Reason, name: str = "") -> Self:
        """``name``: of the target."""
        made = cls(f"{name}: {why.en}" if name else why.en, french=f"{name} : {why.fr}" if name else why.fr)
        made.reason = reason
        return made


class TargetRefused(RelaisError):
    """The target refuses the account, or the account may not do this. Nothing was changed there. Give an account that
    may (``relais setup`` takes ``--user``) and run it again."""

    code = "target.refused"
    exit_code = 4
    french = (
        "La cible refuse le compte, ou ce compte n'a pas le droit de faire cela. Rien n'y a été changé. Donnez un "
        "compte qui a ce droit (« relais setup » accepte --user) et recommencez."
    )

    @classmethod
    def after(cls, french: str, english: str) -> Self:
        """What was said there, then what Relais did and what a person should do."""
        return cls(f"{english}\n{_rest(cls.english())}", french=f"{french}\n{_rest(cls.french)}")


def _rest(sentences: str) -> str:
    return sentences.partition(". ")[2]


class RunLocked(RelaisError):
    """Another Relais is running on this database. This one did nothing. Wait, or stop the other one."""

    code = "run.locked"
    exit_code = 5
    french = (
        "Un autre Relais travaille sur cette base de données. Celui-ci n'a rien fait. Attendez, ou arrêtez l'autre."
    )


class NotSame(RelaisError):
    """These two ids cannot be declared the same person, or no more apart. Nothing was changed. See the message."""

    code = "person.not_same"
    exit_code = 2
    french = (
        "Ces deux identifiants ne peuvent être déclarés la même personne, ou ne plus l'être. Rien n'a été modifié. "
        "Voyez le message."
    )

    @classmethod
    def because(cls, french: tuple[str, str], english: tuple[str, str]) -> Self:
        """Each: why, and what to do."""
        return cls(
            f"{english[0]}. Nothing was changed. {english[1]}.",
            french=f"{french[0]}. Rien n'a été modifié. {french[1]}.",
        )


class MatchUnknown(RelaisError):
    """There is no such match, or nothing like that can be decided about it. Nothing was changed. See the message."""

    code = "match.unknown"
    exit_code = 2
    french = "Il n'y a pas ce rapprochement, ou il ne se décide pas ainsi. Rien n'a été modifié. Voyez le message."

    @classmethod
    def because(cls, french: tuple[str, str], english: tuple[str, str]) -> Self:
        """Each: why, and what to do."""
        return cls(
            f"{english[0]}. Nothing was changed. {english[1]}.",
            french=f"{french[0]}. Rien n'a été modifié. {french[1]}.",
        )


class PlanUnknown(RelaisError):
    """There is no plan of this number here; the newest twenty are kept. Nothing was sent. Make one:
    ``relais plan``."""

    code = "plan.unknown"
    exit_code = 2
    french = (
        "Il n'y a pas de plan de ce numéro ici ; les vingt derniers sont gardés. Rien n'a été envoyé. Faites-en "
        "un : « relais plan »."
    )


class PlanChanged(RelaisError):
    """What the plan was made from has changed since. Nothing was sent. Make a new one and look at it:
    ``relais plan``."""

    code = "plan.changed"
    exit_code = 3
    french = (
        "Ce dont le plan a été tiré a changé depuis. Rien n'a été envoyé. Faites-en un nouveau et regardez-le : "
        "« relais plan »."
    )

    @classmethod
    def because(cls, number: int, french: str, english: str) -> Self:
        """``french``, ``english``: what changed."""
        return cls(
            f"What plan {number} was made from has changed since: {english}. Nothing was sent. "
            "Look at a new one: relais plan.",
            french=f"Ce dont le plan {number} a été tiré a changé depuis : {french}. Rien n'a été envoyé. "
            "Regardez-en un nouveau : relais plan.",
        )


class TooManyOpen(RelaisError):
    """Too many requests to count or map again stand open. Nothing was added. Wait until the next runs have finished
    those: ``relais status``."""

    code = "backfill.too_many"
    exit_code = 5
    french = (
        "Trop de demandes de recompter ou de retraduire sont ouvertes. Rien n'a été ajouté. Attendez que les prochains "
        "passages les terminent : « relais status »."
    )
