"""Encryption of columns, keyed hashes and the master key they hang on.

* A **data key** per table and month encrypts (AES-256-GCM). It lies in ``data_key``, wrapped by the master key, so
  that the master key can change without touching a row and an old month can be made unreadable by one deletion.
* The **hash key** is separate, wrapped likewise and never rotated: hashes made years ago must still compare.
* The **signing key** (Ed25519, heads of the audit trail) is derived from the first master key; when that is changed it
  is kept, wrapped, so that heads signed years ago still verify.
* The **key check** in ``meta`` tells a wrong master key before anything is written.

An encrypted value is ``version (1 byte) | length of the key id (1) | key id | nonce (12) | ciphertext and tag``, with
the table's name as associated data: a value moved to another table does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import LargeBinary, Text, column, inspect, select, table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from connector.errors import ConfigError, KeyReadable, SecretMissing, StoreError, WrongKey

_VERSION = 1
_NONCE = 12
_KEY_CHECK = "key_check"
_HASH_KEY = "hash"
_SIGN_KEY = "sign"
#: In ``meta``: raised when everything is to be encrypted with fresh data keys.
_GENERATION = "key_generation"

# Names only: the schema's home is store/tables.py, which imports nothing from here and which this must not import.
_meta = table("meta", column("key", Text), column("value", Text))
_data_key = table("data_key", column("id", Text), column("wrapped", LargeBinary), column("created", Text))

#: Runs a function with a connection for reading (``Store.read``).
Read = Callable[[Callable[[Connection], bytes | None]], bytes | None]


# ---------------------------------------------------------------- the master key


def new_master_key() -> str:
    """A new master key: 32 random bytes in URL-safe base64, 43 characters."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def parse_master_key(text: str) -> bytes:
    """The 32 bytes of a key as ``new_master_key`` prints it. ConfigError otherwise (never shows the text)."""
    text = text.strip()
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigError(
            'The master key is not one: 43 characters as "relais key new" prints them are expected.',
            french="La clé maîtresse n'en est pas une : il faut les 43 caractères que « relais key new » affiche.",
        )
    return key


def read_master_key(value: str | None, file: Path | None) -> bytes:
    """The master key from the text or the file given (``RELAIS_MASTER_KEY``, ``RELAIS_MASTER_KEY_FILE``).

    SecretMissing when there is none, KeyReadable when others can read the file, ConfigError when it is no key.
    """
    if value and file:
        raise ConfigError(
            "Both RELAIS_MASTER_KEY and RELAIS_MASTER_KEY_FILE are set. Set one of them.",
            french="RELAIS_MASTER_KEY et RELAIS_MASTER_KEY_FILE sont définis tous les deux. N'en définissez qu'un.",
        )
    if value:
        return parse_master_key(value)
    if file is None:
        raise SecretMissing(
            'There is no master key. Make one with "relais key new", keep a copy where no backup of the database is, '
            "and set RELAIS_MASTER_KEY or RELAIS_MASTER_KEY_FILE.",
            french="Il n'y a pas de clé maîtresse. Créez-en une avec « relais key new », gardez-en une copie là "
            "où il n'y a aucune sauvegarde de la base, et définissez RELAIS_MASTER_KEY ou RELAIS_MASTER_KEY_FILE.",
        )
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissing(
            f"The master key file {file} cannot be read ({type(error).__name__}).",
            french=f"Le fichier de la clé maîtresse {file} ne peut pas être lu ({type(error).__name__}).",
        ) from None
    # A systemd credential is opened to the service's user by an ACL, which shows in the group's bits.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    others = 0o007 if folder and file.absolute().is_relative_to(folder) else 0o077
    if mode & others:
        raise KeyReadable.about(f"File: {file}", f"Fichier : {file}")
    return parse_master_key(text)


def demo_master_key(file: Path) -> bytes:
    """The demo's own key: read from ``file``, made there (mode 0600) the first time. Never for production."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_master_key(None, file)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(new_master_key() + "\n")
    return read_master_key(None, file)


def _derive(master: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"relais {purpose}".encode()).derive(master)


def signing_key(master: bytes) -> Ed25519PrivateKey:
    """The key that signs the heads of the audit trail."""
    return Ed25519PrivateKey.from_private_bytes(_derive(master, "sign"))


def check_key(connection: Connection, *masters: bytes) -> bool:
    """Does one of these master keys belong to this database? True: yes. False: the database has none yet. Writes
    nothing.

    Raises WrongKey when it belongs to another one.
    """
    if not inspect(connection).has_table(_meta.name):
        return False
    stored = connection.execute(select(_meta.c.value).where(_meta.c.key == _KEY_CHECK)).scalar()
    if stored is None:
        return False
    if not any(_is_of(stored, master) for master in masters):
        raise WrongKey()
    return True


def _is_of(stored: str, master: bytes) -> bool:
    return hmac.compare_digest(stored.encode(), _derive(master, "check").hex().encode())


def rekey(connection: Connection, old: bytes, new: bytes) -> int:
    """Wrap every data key again, with the new master key, in the transaction of ``connection``. No row is touched.
    Returns how many keys; 0 when the new key is the database's already. Raises WrongKey when neither is.
    """
    stored = connection.execute(select(_meta.c.value).where(_meta.c.key == _KEY_CHECK)).scalar()
    if stored is not None and _is_of(stored, new):
        return 0
    if stored is None or not _is_of(stored, old):
        raise WrongKey()
    before, after = AESGCM(_derive(old, "wrap")), AESGCM(_derive(new, "wrap"))
    count = 0
    for row in connection.execute(select(_data_key)).all():
        key = _unwrapped([before], row.id, row.wrapped)
        connection.execute(
            _data_key.update().where(_data_key.c.id == row.id).values(wrapped=_wrapped(after, row.id, key))
        )
        count += 1
    if not connection.execute(select(_data_key.c.id).where(_data_key.c.id == _SIGN_KEY)).first():
        wrapped = _wrapped(after, _SIGN_KEY, signing_key(old).private_bytes_raw())
        connection.execute(
            _data_key.insert().values(id=_SIGN_KEY, wrapped=wrapped, created=_now_text(datetime.now(UTC)))
        )
        count += 1
    check = _derive(new, "check").hex()
    connection.execute(_meta.update().where(_meta.c.key == _KEY_CHECK).values(value=check))
    return count


def fresh_keys(connection: Connection) -> int:
    """From now on encrypt with data keys that nobody has seen. Returns their generation."""
    known = connection.execute(select(_meta.c.value).where(_meta.c.key == _GENERATION)).scalar()
    generation = int(known or 0) + 1
    if known is None:
        connection.execute(_meta.insert().values(key=_GENERATION, value=str(generation)))
    else:
        connection.execute(_meta.update().where(_meta.c.key == _GENERATION).values(value=str(generation)))
    return generation


def key_of(blob: bytes) -> str:
    """The id of the data key a value is encrypted with."""
    return bytes(blob[2 : 2 + blob[1]]).decode("ascii")


def generation_of(key_id: str) -> int:
    """0 for ``body/2026-11``, 2 for ``body/2026-11.2``."""
    return int(key_id.rpartition("/")[2].partition(".")[2] or 0)


def _now_text(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _wrapped(wrapper: AESGCM, key_id: str, key: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + wrapper.encrypt(nonce, key, key_id.encode())


def _unwrapped(wrappers: Sequence[AESGCM], key_id: str, wrapped: bytes) -> bytes:
    wrapped = bytes(wrapped)
    for wrapper in wrappers:
        with suppress(InvalidTag):
            return wrapper.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], key_id.encode())
    raise StoreError(
        f"The data key {key_id} was altered or is damaged.",
        french=f"La clé de données {key_id} a été altérée ou est abîmée.",
    )


# ---------------------------------------------------------------- the cipher


class Cipher:
    """Encrypts, decrypts and hashes for one database. Safe to share between threads.

    Make it with ``Cipher.open`` inside a writing transaction, after the tables exist. ``read`` (``Store.read``) is
    asked for data keys that another process has made since; it may be set later.
    """

    def __init__(
        self, master: bytes, *, now: Callable[[], datetime], read: Read | None = None, new: bytes | None = None
    ) -> None:
        self._masters = [master, *([new] if new else [])]
        self._wrappers = [AESGCM(_derive(one, "wrap")) for one in self._masters]
        self._generation = 0
        self._now = now
        self.read = read
        self.signing = signing_key(master)
        self._lock = threading.Lock()
        self._keys: dict[str, AESGCM] = {}  #: every key seen, for decrypting
        self._sure: dict[str, tuple[AESGCM, bytes]] = {}  #: keys known to be committed, with the head of their blobs
        self._made: dict[str, tuple[Any, Any]] = {}  #: keys made here -> transaction and savepoint they depend on
        self._hash_key = b""

    @classmethod
    def open(
        cls,
        connection: Connection,
        master: bytes,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        read: Read | None = None,
        new: bytes | None = None,
    ) -> Cipher:
        """Check the master key, make the hash key the first time, load the data keys. ``new``: a master key that is
        accepted, too, while one is being changed for the other.

        Raises WrongKey before anything is written.
        """
        cipher = cls(master, now=now, read=read, new=new)
        if not check_key(connection, *cipher._masters):
            if connection.execute(select(_data_key.c.id).limit(1)).first():
                raise WrongKey(
                    "This database has encrypted data but no key check. Restore it from a backup.",
                    french="Cette base a des données chiffrées mais plus le témoin de sa clé. Remettez-la depuis une "
                    "sauvegarde.",
                )
            check = _derive(master, "check").hex()
            connection.execute(_insert_new(connection, _meta).values(key=_KEY_CHECK, value=check))
            if not check_key(connection, *cipher._masters):  # another process was first, perhaps with another key
                raise StoreError(
                    "The key check could not be written.", french="Le témoin de la clé n'a pas pu être écrit."
                )
            cipher._store(connection, _HASH_KEY, os.urandom(32))
        for row in connection.execute(select(_data_key)):
            key = cipher._unwrap(row.id, row.wrapped)
            if row.id == _HASH_KEY:
                cipher._hash_key = key
            elif row.id == _SIGN_KEY:
                cipher.signing = Ed25519PrivateKey.from_private_bytes(key)
            else:
                cipher._keys[row.id] = AESGCM(key)
        known = connection.execute(select(_meta.c.value).where(_meta.c.key == _GENERATION)).scalar()
        cipher._generation = int(known or 0)
        return cipher

    @property
    def public_key(self) -> Ed25519PublicKey:
        """Verifies the signed heads."""
        return self.signing.public_key()

    def use_generation(self, generation: int) -> None:
        """Encrypt with data keys of this generation from now on (``fresh_keys``)."""
        self._generation = generation

    def sign(self, data: bytes) -> bytes:
        return self.signing.sign(data)

    def keyed_hash(self, text: str) -> str:
        """HMAC-SHA256 of the text, 128 bits as 32 hex digits: the same for ever within one database, and no way
        back to the text without the master key."""
        return hmac.digest(self._hash_key, text.encode(), "sha256")[:16].hex()

    def encrypt(self, connection: Connection, table: str, plaintext: bytes) -> bytes:
        """The encrypted value for a column of ``table``. Makes this month's data key when it is missing, in the
        transaction of ``connection``."""
        key_id = f"{table}/{self._now():%Y-%m}" + (f".{self._generation}" if self._generation else "")
        sure = self._sure.get(key_id)
        key, head = sure if sure else self._current(connection, key_id)
        nonce = os.urandom(_NONCE)
        return head + nonce + key.encrypt(nonce, plaintext, table.encode())

    def decrypt(self, table: str, blob: bytes | None, connection: Connection | None = None) -> bytes | None:
        """The plain value; None for None (never written, or purged).

        Raises StoreError when the value was altered, belongs to another table, or its data key was destroyed.
        """
        if blob is None:
            return None
        blob = bytes(blob)  # PostgreSQL drivers may hand over a memoryview
        try:
            if blob[0] != _VERSION:
                raise StoreError(
                    f"An encrypted value of {table} has format {blob[0]}, which this version cannot read.",
                    french=f"Une valeur chiffrée de {table} est au format {blob[0]}, que cette version ne sait "
                    "pas lire.",
                )
            start = 2 + blob[1]
            key_id = blob[2:start].decode("ascii")
            key = self._keys.get(key_id) or self._fetch(key_id, connection)
            return key.decrypt(blob[start : start + _NONCE], blob[start + _NONCE :], table.encode())
        except (InvalidTag, IndexError, ValueError):
            raise StoreError(
                f"An encrypted value of {table} was altered or is damaged. It cannot be read.",
                french=f"Une valeur chiffrée de {table} a été altérée ou est abîmée. Elle ne peut pas être lue.",
            ) from None

    # -- data keys

    def _current(self, connection: Connection, key_id: str) -> tuple[AESGCM, bytes]:
        """The data key to encrypt with. A key made in a transaction that is rolled back never existed, so it is
        looked up again until another transaction has seen it; only then it goes the fast way."""
        head = bytes((_VERSION, len(key_id))) + key_id.encode("ascii")
        scope = (connection.get_transaction(), connection.get_nested_transaction())
        with self._lock:
            if self._made.get(key_id) == scope:  # not even a savepoint was left since it was made
                return self._keys[key_id], head
            found = self._load(connection, key_id)
            if found is None:
                self._store(connection, key_id, AESGCM.generate_key(256))
                self._made[key_id] = scope
                found = self._load(connection, key_id)
                if found is None:
                    raise StoreError(
                        "A data key could not be written.", french="Une clé de données n'a pas pu être écrite."
                    )
            self._keys[key_id] = AESGCM(found)
            if key_id not in self._made or self._made[key_id][0] is not scope[0]:
                self._made.pop(key_id, None)
                self._sure[key_id] = (self._keys[key_id], head)
            return self._keys[key_id], head

    def _fetch(self, key_id: str, connection: Connection | None) -> AESGCM:
        """A data key that another process made, or an answer why it cannot be read."""
        found: bytes | None = None
        if connection is not None:
            found = self._load(connection, key_id)
        elif self.read is not None:
            found = self.read(lambda reader: self._load(reader, key_id))
        if found is None:
            raise StoreError(
                f"The data key {key_id} is gone (destroyed by retention, or not in this backup).",
                french=f"La clé de données {key_id} n'existe plus (détruite par la durée de conservation, ou "
                "absente de cette sauvegarde).",
            )
        self._keys[key_id] = AESGCM(found)
        return self._keys[key_id]

    def _load(self, connection: Connection, key_id: str) -> bytes | None:
        wrapped = connection.execute(select(_data_key.c.wrapped).where(_data_key.c.id == key_id)).scalar()
        return None if wrapped is None else self._unwrap(key_id, wrapped)

    def _store(self, connection: Connection, key_id: str, key: bytes) -> None:
        """Insert unless another process was first: then its key is the one that counts.

        Raises WrongKey when the master key was changed meanwhile: what we wrapped nobody could open after a restart.
        """
        stored = connection.execute(select(_meta.c.value).where(_meta.c.key == _KEY_CHECK)).scalar()
        wrappers = [w for w, m in zip(self._wrappers, self._masters, strict=True) if stored and _is_of(stored, m)]
        if not wrappers:
            raise WrongKey(
                "The master key of this database was changed. Nothing was written. Restart with the new one.",
                french="La clé maîtresse de cette base a été changée. Rien n'a été écrit. Redémarrez avec la nouvelle.",
            )
        connection.execute(
            _insert_new(connection, _data_key).values(
                id=key_id, wrapped=_wrapped(wrappers[0], key_id, key), created=_now_text(self._now())
            )
        )

    def _unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        return _unwrapped(self._wrappers, key_id, wrapped)


def _insert_new(connection: Connection, into: Any) -> Any:
    """INSERT that does nothing when the row is there, on SQLite and PostgreSQL."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(into).on_conflict_do_nothing()


def fingerprint(public_key: Ed25519PublicKey) -> str:
    """Short name of a signing key, to compare by eye: 16 hex digits of SHA-256."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]
