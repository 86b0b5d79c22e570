"""Are mistakes in a pack noticed? Plants slips in a copy of it, one at a time, and asks ``check`` and the examples.

    scripts/pack_mutants.sh [--seed 7] [--count 1000] [--even] [--pack config/mali-health]

A slip is what a hand does: a key, a path, a name or a code with a letter lost, doubled or exchanged, a code where
another belongs, a condition with another comparison or constant, a band moved by one, a date with two digits exchanged
or in another year. Words for people (names, definitions) and addresses are left alone. A slip is noticed when
``relais check`` has a finding or an example of ``relais test`` fails. The same seed plants the same slips; each is
planted once. Those that nobody noticed are listed. Exit 1 when they are more than 5 in 100.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from connector.mappings.config import load_pack  # noqa: E402
from connector.mappings.examples import run_examples  # noqa: E402
from connector.mappings.lint import lint  # noqa: E402
from connector.mappings.pack import Pack  # noqa: E402
from connector.mappings.pack_shapes import FLAG, KINDS_OF_FILE  # noqa: E402
from connector.mappings.shapes import Expression, Number, Whole, Word  # noqa: E402
from connector.mappings.where import Step, Where  # noqa: E402
from connector.mappings.yaml_nodes import Any_, Map, Scalar, Seq  # noqa: E402

MOST_UNNOTICED = 0.05
#: Words for people, where codes were read, and settings of a connection: another value is no mistake anybody could see.
FOR_PEOPLE = ("name", "definition", "from", "unit")
CONNECTION = ("url", "user", "password", "token", "folder", "database", "schedule", "silent_after", "settles_within")
TABLES = ("org_units.csv", "deployments.csv")
DATES = ("valid_from", "valid_to")
_NAME = re.compile(r"(?<![\w.$'\"`])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?!\w*\s*\()(?![\w'\"])")
_ORDERS = {"<=": "<", ">=": ">", "<": "<=", ">": ">=", "=": "!=", "!=": "="}
_ORDER = re.compile(r"(?<= )(<=|>=|!=|<|>|=)(?= )")
_TEXT = re.compile(r"'([^']+)'")
_NUMBER = re.compile(r"(?<![\w.'])\d+(?![\w.'])")
_WORDS = ("and", "or", "in", "true", "false", "null", "function")


@dataclass(frozen=True)
class Slip:
    """``text`` stands at ``start`` of a file and becomes ``slipped``."""

    kind: str
    file: str
    start: int
    text: str
    slipped: str


def misspelt(word: str, random: Random) -> str:
    """A letter lost, doubled or exchanged with its neighbour: never the first, never nothing."""
    for _ in range(20):
        at = random.randrange(1, len(word)) if len(word) > 1 else 0
        ways = [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]
        if at + 1 < len(word):
            ways.append(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
        found = random.choice(ways)
        if found and found != word:
            return found
    return word + word[-1]


class Slips:
    """Every slip that may be planted in a pack, by kind, in an order of chance."""

    def __init__(self, pack: Pack, seed: int) -> None:
        self.folder = Path(pack.folder)
        self.where = Where(pack)
        self.random = Random(seed)
        self.texts: dict[str, str] = {}
        self.found: dict[str, list[Slip]] = defaultdict(list)
        kinds = [name for name in KINDS_OF_FILE if not name.endswith("_test")]
        #: What else stands at the same place of other entries: what a code may be taken for.
        self.others: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for kind in kinds:
            for file in self.where.files(kind):
                for steps, node, _ in self.where.scalars(file):
                    self.others[_alike(kind, steps)].append(node.text)
        for kind in kinds:
            for file in self.where.files(kind):
                self._keys(file, self.where.tree(file))
                for steps, node, shape in self.where.scalars(file):
                    self._leaf(kind, file, steps, node, shape)
        for table in TABLES:
            self._table(table)
        for path in sorted(self.folder.glob("tables/*.csv")):
            self._meanings(path.relative_to(self.folder).as_posix())

    def chosen(self, count: int, *, even: bool = False) -> list[Slip]:
        """``count`` of them, each as likely as any other; ``even``: of each kind in turn."""
        mixed = []
        for kind in sorted(self.found):
            ones = list(dict.fromkeys(self.found[kind]))
            self.random.shuffle(ones)
            mixed.append(ones)
        if even:
            turns = (one for turn in zip_longest(*mixed) for one in turn if one is not None)
            return [one for one, _ in zip(turns, range(count), strict=False)]
        every = [one for ones in mixed for one in ones]
        return self.random.sample(every, min(count, len(every)))

    # ------------------------------------------------------------ YAML

    def _keys(self, file: str, node: Any_ | None) -> None:
        if isinstance(node, Map):
            for key, at in node.keys_at.items():
                start = self._offset(file, at.line, at.column)
                if len(key) > 1 and self._text(file).startswith(key, start):
                    self._add("key", file, start, key, misspelt(key, self.random))
                self._keys(file, node.entries[key])
        elif isinstance(node, Seq):
            for item in node.items:
                self._keys(file, item)

    def _leaf(self, kind: str, file: str, steps: tuple[Step, ...], node: Scalar, shape: Word) -> None:
        names = [step for step in steps if isinstance(step, str)]
        key = names[-1] if names else ""
        if not node.straight or node.empty or not node.text:
            return
        if key in ("fr", "en") or (key in FOR_PEOPLE and not isinstance(shape, Whole | Expression) and kind != "form"):
            return
        if kind == "connector" and (key in CONNECTION or "schedules" in names or "${" in node.text):
            return
        start = self._offset(file, node.at.line, node.at.column) + node.quoted
        if key == "live_from":
            self._date(file, start, node.text)
        elif isinstance(shape, Expression):
            self._expression("path" if kind == "form" else "condition", file, start, node.text)
        elif isinstance(shape, Whole | Number):
            if node.text.isdigit() and key in ("from", "below"):
                moved = max(0, int(node.text) + self.random.choice((-1, 1)))
                self._add("band", file, start, node.text, str(moved))
        elif shape is not FLAG:
            self._code(file, start, node.text, self.others[_alike(kind, steps)])

    def _expression(self, kind: str, file: str, start: int, text: str) -> None:
        for match in _NAME.finditer(text):
            if match[0] not in _WORDS:
                for part in re.finditer(r"\w+", match[0]):
                    if len(part[0]) > 1:
                        at = start + match.start() + part.start()
                        self._add(kind, file, at, part[0], misspelt(part[0], self.random))
        for match in _ORDER.finditer(text):
            self._add("condition", file, start + match.start(), match[0], _ORDERS[match[0]])
        for match in _TEXT.finditer(text):
            if len(match[1]) > 1 and "%" not in match[1]:
                self._add("condition", file, start + match.start(1), match[1], misspelt(match[1], self.random))
        for match in _NUMBER.finditer(text):
            self._add("condition", file, start + match.start(), match[0], str(int(match[0]) + 1))

    def _code(self, file: str, start: int, text: str, others: Sequence[str]) -> None:
        other = [one for one in dict.fromkeys(others) if one != text]
        if other and (len(text) < 2 or self.random.random() < 0.5):
            self._add("code", file, start, text, self.random.choice(other))
        elif len(text) > 1:
            self._add("code", file, start, text, misspelt(text, self.random))

    # ------------------------------------------------------------ tables

    def _table(self, file: str) -> None:
        for head, cell, start, column in self._cells(file):
            if not cell or head == "name":
                continue
            if head in DATES:
                self._date(file, start, cell)
            else:
                self._code(file, start, cell, column)

    def _meanings(self, file: str) -> None:
        for _, cell, start, column in self._cells(file):
            if cell and cell != "~":
                self._code(file, start, cell, column)

    def _cells(self, file: str) -> Iterator[tuple[str, str, int, list[str]]]:
        """Each cell: its column's name, text, place and what else stands in the column."""
        lines = self._text(file).splitlines(keepends=True)
        heads = next(csv.reader(lines[:1]))
        rows = [line.rstrip("\n").split(",") for line in lines]
        start = 0
        for line, row in zip(lines, rows, strict=True):
            at = start
            for index, cell in enumerate(row):
                if line is not lines[0] and not line.startswith("#") and index < len(heads):
                    others = [other[index] for other in rows[1:] if index < len(other) and other[index]]
                    yield heads[index], cell, at, others
                at += len(cell) + 1
            start += len(line)

    def _date(self, file: str, start: int, text: str) -> None:
        digits = [at for at in range(len(text) - 1) if text[at : at + 2].isdigit() and text[at] != text[at + 1]]
        at = self.random.choice(digits)
        exchanged = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        other_year = str(int(text[:4]) + self.random.choice((-1, 1, 10, 100))) + text[4:]
        self._add("date", file, start, text, self.random.choice((exchanged, other_year)))

    # ------------------------------------------------------------ places

    def _add(self, kind: str, file: str, start: int, text: str, slipped: str) -> None:
        assert self._text(file).startswith(text, start), (file, start, text)
        if slipped != text:
            self.found[kind].append(Slip(kind, file, start, text, slipped))

    def _text(self, file: str) -> str:
        if file not in self.texts:
            self.texts[file] = (self.folder / file).read_text(encoding="utf-8")
        return self.texts[file]

    def _offset(self, file: str, line: int, column: int) -> int:
        lines = self._text(file).splitlines(keepends=True)
        return sum(len(one) for one in lines[: line - 1]) + column - 1


def _alike(kind: str, steps: Sequence[Step]) -> tuple[str, ...]:
    return (kind, *(step for step in steps if isinstance(step, str)))


def noticed(folder: Path, env: Mapping[str, str]) -> bool:
    pack, findings = load_pack(folder, env)
    return bool(findings or lint(pack) or run_examples(pack, first=True).failures)


def plant(slips: Sequence[Slip], folder: Path, env: Mapping[str, str]) -> list[Slip]:
    """Each slip alone in the pack at ``folder``, which is put back; those that nobody noticed, shown at once."""
    found = []
    for number, slip in enumerate(slips, 1):
        if number % 50 == 0:
            print(f"{number} of {len(slips)} planted, {len(found)} unnoticed", file=sys.stderr, flush=True)
        path = folder / slip.file
        before = path.read_bytes()
        text = before.decode("utf-8")
        path.write_text(text[: slip.start] + slip.slipped + text[slip.start + len(slip.text) :], encoding="utf-8")
        try:
            if not noticed(folder, env):
                line = text[: slip.start].count("\n") + 1
                found.append(slip)
                print(f"unnoticed: {slip.kind:<10} {slip.file}:{line}  {slip.text} -> {slip.slipped}", flush=True)
        finally:
            path.write_bytes(before)
    return found


def environment() -> dict[str, str]:
    """The variables of ``docs/sandbox.env``: a pack whose secrets are missing has findings of its own."""
    lines = (ROOT / "docs/sandbox.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def main() -> int:
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    said.add_argument("--seed", type=int, default=7)
    said.add_argument("--count", type=int, default=1000)
    said.add_argument("--even", action="store_true", help="of each kind in turn, not each slip as likely as any other")
    said.add_argument("--pack", type=Path, default=ROOT / "config/mali-health")
    chosen = said.parse_args()
    env = environment()
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "pack"
        shutil.copytree(chosen.pack, folder)
        if noticed(folder, env):
            print("the pack has findings before anything is planted: see relais check and relais test")
            return 2
        pack, _ = load_pack(folder, env)
        slips = Slips(pack, chosen.seed).chosen(chosen.count, even=chosen.even)
        missed = plant(slips, folder, env)
    of_kind = Counter(slip.kind for slip in slips)
    for kind in sorted(of_kind):
        lost = sum(slip.kind == kind for slip in missed)
        print(f"{kind:<10} {of_kind[kind] - lost:>4} of {of_kind[kind]:>4} noticed")
    share = len(missed) / len(slips)
    print(f"{len(slips) - len(missed)} of {len(slips)} noticed, {share:.1%} not (most: {MOST_UNNOTICED:.0%})")
    return 1 if share > MOST_UNNOTICED else 0


if __name__ == "__main__":
    raise SystemExit(main())
