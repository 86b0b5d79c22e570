"""Files nobody reads, secrets written down, names without a language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from connector.findings import nearest
from connector.mappings.config_connections import REFERENCE
from connector.mappings.linting import Checking
from connector.mappings.pack import Place
from connector.mappings.pack_shapes import KINDS_OF_FILE, kind_of
from connector.mappings.shapes import Either, Group, ListOf, MapOf, Shape, Texts, plain_shape
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Any_, Map, Scalar, Seq

_TABLES = ("org_units.csv", "deployments.csv")
_SECRETS = ("password", "token", "webhook_secret")
_NAMED = re.compile(r"\$\{(?:file:)?[A-Za-z_][A-Za-z0-9_.-]*\}")
#: How tokens of DHIS2, webhook secrets and private keys begin.
_KNOWN = re.compile(r"d2pat_|d2p_|whsec_|-----BEGIN ")


def check(one: Checking) -> None:
    _unread(one)
    _secrets(one)
    for kind in ("connector", "concepts", "activities", "categories", "indicators", "episodes", "registers", "dhis2"):
        for file in one.where.files(kind):
            node = one.where.tree(file)
            if node is not None:
                _languages(one, node, KINDS_OF_FILE[kind].shape)


def _unread(one: Checking) -> None:
    """Files of the pack that no reader looks at: a misspelt name does nothing, and does not say so. What lies in the
    folder of a source is data; of that the source itself speaks (``source.file_ignored``)."""
    read = set(_TABLES)
    for file in one.where.files("form"):
        read.update(node.text for steps, node, _ in one.where.scalars(file) if steps[-1] == "codes")
    folder = one.where.folder
    folders = [source.settings.get("folder") for source in one.pack.sources.values()]
    watched = [Path(str(given)).resolve() for given in folders if given]
    known = [*read, *(name for kind in KINDS_OF_FILE.values() for name in kind.files if "*" not in name)]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in (".yaml", ".yml", ".csv") or any(part.startswith(".") for part in name.split("/")):
            continue
        if any(path.resolve().is_relative_to(data) for data in watched):
            continue
        if name not in read and (path.suffix == ".csv" or kind_of(name) is None):
            one.add("file.unknown", Place(name, 1), name=name, nearest=nearest(name, known))


def _secrets(one: Checking) -> None:
    """Passwords, tokens and keys that stand in ``connector.yaml`` as themselves, not by name."""
    for steps, node in _every(one.where.tree("connector.yaml")):
        what = ": ".join(map(str, steps))
        key = next((step for step in reversed(steps) if isinstance(step, str)), "")
        written = _NAMED.sub("", node.text)
        if "${" in REFERENCE.sub("", node.text):  # a reference that is none, which its reader reports
            continue
        if (key in _SECRETS and written) or (
            key not in _SECRETS and (_KNOWN.search(node.text) or (key == "url" and _in_address(node.text)))
        ):
            one.add("secret.written", node.at, what=what)


def _in_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False


def _every(node: Any_ | None, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Scalar]]:
    if isinstance(node, Scalar):
        yield steps, node
    elif isinstance(node, Map):
        for key, value in node.entries.items():
            yield from _every(value, (*steps, key))
    elif isinstance(node, Seq):
        for index, item in enumerate(node.items):
            yield from _every(item, (*steps, index))


def _languages(one: Checking, node: Any_, shape: Shape, what: str = "", at: Place | None = None) -> None:
    """Names given in some of the pack's languages only."""
    shape = plain_shape(shape)
    if isinstance(shape, Texts) and isinstance(node, Map):
        for language in one.pack.languages:
            if language not in node.entries:
                one.add("name.language", at or node.at, what=what, language=language)
    elif isinstance(shape, Group) and isinstance(node, Map):
        name = node.entries.get("id")
        here = name.text if isinstance(name, Scalar) else what
        for key, declared in shape.fields_of(node).items():
            if key in node.entries:
                _languages(one, node.entries[key], declared.shape, here or key, node.keys_at[key])
    elif isinstance(shape, ListOf) and isinstance(node, Seq):
        for item in node.items:
            _languages(one, item, shape.item, what)
    elif isinstance(shape, MapOf) and isinstance(node, Map):
        for key, value in node.entries.items():
            _languages(one, value, shape.value, key, node.keys_at[key])
    elif isinstance(shape, Either):
        inner = shape.of(node)
        if inner is not None:
            _languages(one, node, inner, what, at)
