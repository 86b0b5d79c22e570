"""The error tree. Each docstring is the message: what happened, what Relais does now, what a person should do.

RelaisError
├── ConfigError          PackBroken · SecretMissing · WrongKey · KeyReadable · SchemaDiffers
├── SourceError          SourceUnavailable · SourceRefused · SourceWaiting · CursorLost · PageUnreadable
├── PushUnreadable       nothing is kept, the sender is told
├── MappingError         the record goes to quarantine
├── StoreError           StoreBusy (StoreUnreachable) · StoreFull · ChainBroken
├── LaneBusy · TargetUnreadable · TargetRefused
├── PlanChanged · PlanUnknown
├── NotSame
└── RunLocked
"""

from __future__ import annotations

from collections.abc import Sequence


class RelaisError(Exception):
    """Something went wrong. Relais stopped this step and kept what it had. See the message."""

    code = "relais.error"
    exit_code = 1

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").strip()


class ConfigError(RelaisError):
    """The configuration cannot be used. Relais does nothing until it is mended. Run ``relais check``."""

    code = "config.error"
    exit_code = 2


class PackBroken(ConfigError):
    """The configuration pack has errors. Nothing was sent. Mend the lines listed and run ``relais check`` again."""

    code = "config.pack_broken"


class SecretMissing(ConfigError):
    """A secret or address the pack names is not set. Relais did not start. Set the variable or file it names."""

    code = "config.secret_missing"


class WrongKey(ConfigError):
    """The master key does not open this database. Nothing was written. Give RELAIS_MASTER_KEY(_FILE) the key this
    database was made with; it was printed by ``relais key new`` and is in no backup."""

    code = "key.wrong"


class KeyReadable(ConfigError):
    """The master key file can be read by others. Relais refuses it. Make it readable by its owner only (chmod 600)."""

    code = "key.readable"


class SchemaDiffers(ConfigError):
    """The tables of the database are not those of this version of Relais. Nothing was written. Run ``relais db
    upgrade`` when they are older; when they are newer, install the newer Relais again."""

    code = "database.schema"


class SourceError(RelaisError):
    """A source could not be read. What was read before is kept; the cursor did not move past it. Nobody has to act
    unless ``relais status`` says so."""

    code = "source.error"
    who = "nobody"
    retry_after: float | None = None

    def __init__(self, message: str = "", *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        if code:
            self.code = code
        self.retry_after = retry_after


class SourceUnavailable(SourceError):
    """The source is out of reach or starting up. Relais tries again at the next run. Nobody has to act yet."""

    code = "source.unavailable"


class SourceWaiting(SourceError):
    """The source asks to wait (429 or temporarily locked). Relais waits and tries again. Nobody has to act."""

    code = "source.waiting"


class SourceRefused(SourceError):
    """The source refuses the credentials. Relais stopped asking, so that the account is not locked. The sysadmin
    should check the user and password of this source, then run again."""

    code = "source.credentials"
    who = "credentials"


class CursorLost(SourceError):
    """The source does not know the cursor any more. Relais reads it from the start again; nothing is deleted and
    nothing is counted twice. Nobody has to act."""

    code = "source.cursor_lost"


class PageUnreadable(SourceError):
    """The source sent a page that is cut, too big or not what was asked for. Nothing of it was kept; Relais asks
    again at the next run. If it stays, the sysadmin should look at the source."""

    code = "source.page_unreadable"
    who = "sysadmin"


class PushUnreadable(RelaisError):
    """A document that was pushed cannot be read, or lacks what names it. Nothing of it was kept and the sender was
    told so (422). Whoever set up the push should send the whole document. Carries names of fields, never a value."""

    code = "ingest.unreadable"

    def __init__(self, missing: Sequence[str] = ()) -> None:
        super().__init__()
        self.missing = tuple(missing)  #: fields that are not there; empty: it is no JSON object


class MappingError(RelaisError):
    """The record could not be mapped. It is kept in quarantine and everything else flows on. The mapping author
    should look at the place named and run ``relais remap``. Carries the place, never a value of the record."""

    code = "mapping.error"

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


class StoreBusy(StoreError):
    """The database is locked by another program. Relais wrote nothing and tries again. If it stays, the sysadmin
    should see what else has the database open."""

    code = "store.busy"
    exit_code = 5


class StoreUnreachable(StoreBusy):
    """The database does not answer, or the connection to it broke. Relais assumes nothing of the step it was in and
    tries again. If it stays, the sysadmin should look at the database server and the way to it."""

    code = "store.unreachable"


class StoreFull(StoreError):
    """The disk is full. Relais wrote nothing and takes in nothing until there is room. The sysadmin should free
    space; then everything goes on by itself."""

    code = "store.full"


class ChainBroken(StoreError):
    """The audit trail was altered. Relais reports the first bad entry. The sysadmin should keep the database as it
    is and compare with the signed heads kept elsewhere."""

    code = "audit.broken"
    exit_code = 3


class LaneBusy(RelaisError):
    """Another worker is doing a step that must go alone. This delivery waits its turn. Nobody has to act."""

    code = "lane.busy"
    exit_code = 5


class TargetUnreadable(RelaisError):
    """The target could not be read back. Nothing is assumed; Relais looks again later. Nobody has to act yet."""

    code = "target.unreadable"
    exit_code = 5


class TargetRefused(RelaisError):
    """The target refuses the account, or the account may not do this. Nothing was changed there. Give an account that
    may (``relais setup`` takes ``--user``) and run it again."""

    code = "target.refused"
    exit_code = 4

    @classmethod
    def after(cls, said: str) -> TargetRefused:
        """What was said there, then what Relais did and what a person should do."""
        return cls(f"{said}\n{' '.join((cls.__doc__ or '').split()).partition('. ')[2]}")


class RunLocked(RelaisError):
    """Another Relais is running on this database. This one did nothing. Wait, or stop the other one."""

    code = "run.locked"
    exit_code = 5


class NotSame(RelaisError):
    """These two ids cannot be declared the same person, or no more apart. Nothing was changed. See the message.
    Ces deux identifiants ne peuvent être déclarés la même personne, ou ne plus l'être. Rien n'a été modifié."""

    code = "person.not_same"
    exit_code = 2

    @classmethod
    def because(cls, french: tuple[str, str], english: tuple[str, str]) -> NotSame:
        """Each: why, and what to do."""
        return cls(f"{english[0]}. Nothing was changed. {english[1]}.\n{french[0]}. Rien n'a été modifié. {french[1]}.")


class MatchUnknown(RelaisError):
    """There is no such match, or nothing like that can be decided about it. Nothing was changed. See the message.
    Il n'y a pas ce rapprochement, ou il ne se décide pas ainsi. Rien n'a été modifié."""

    code = "match.unknown"
    exit_code = 2

    @classmethod
    def because(cls, french: tuple[str, str], english: tuple[str, str]) -> MatchUnknown:
        """Each: why, and what to do."""
        return cls(f"{english[0]}. Nothing was changed. {english[1]}.\n{french[0]}. Rien n'a été modifié. {french[1]}.")


class PlanUnknown(RelaisError):
    """There is no plan of this number here; the newest twenty are kept. Nothing was sent. Make one: ``relais plan``.
    Il n'y a pas de plan de ce numéro ici ; les vingt derniers sont gardés. Rien n'a été envoyé."""

    code = "plan.unknown"
    exit_code = 2


class PlanChanged(RelaisError):
    """What the plan was made from has changed since. Nothing was sent. Make a new one and look at it:
    ``relais plan``."""

    code = "plan.changed"
    exit_code = 3

    @classmethod
    def because(cls, number: int, french: str, english: str) -> PlanChanged:
        """``french``, ``english``: what changed."""
        return cls(
            f"What plan {number} was made from has changed since: {english}. Nothing was sent. "
            f"Look at a new one: relais plan.\nCe dont vient le plan {number} a changé depuis : {french}. "
            "Rien n'a été envoyé. En regarder un nouveau : relais plan."
        )
