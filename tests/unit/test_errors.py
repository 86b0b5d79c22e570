"""Every error says itself in French and in English: each class, and each place that raises one with its own words."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import errors
from connector.errors import PlanChanged, RelaisError, SourceError, StoreBusy, TargetRefused, TargetUnreadable

ROOT = Path(__file__).parents[2]
CLASSES = {n: c for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, RelaisError)}
#: Carry codes, whose words are in the tables of reasons (``tests/docs``), or names of fields.
WITHOUT_WORDS = {"MappingError", "PushUnreadable"}
#: Make an error of words in two languages: each takes both.
IN_PAIRS = {"because": 2, "after": 2}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_its_sentence_in_french_beside_the_english_one(name: str) -> None:
    french = vars(CLASSES[name]).get("french", "")
    sentences = [one for one in re.split(r"(?<=[.;])\s+", french) if one]
    assert len(sentences) >= 3, "what happened; what Relais does now; what a person should do"
    assert french.endswith(".") and "`" not in french + CLASSES[name].english()
    assert not re.search(r"[^ ][:;!?»](?!\w)|[«](?! )", french), "a space before double signs, inside guillemets"


def _told(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Calls that make an error of ours, with the name of the class or of its maker."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            yield node, node.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in CLASSES:
                yield node, node.func.attr


def told(source: str) -> dict[int, bool]:
    """Line -> whether the error made there has French: what has words in English has them in French."""
    lines = {}
    for node, name in _told(ast.parse(source)):
        french = any(one.arg == "french" for one in node.keywords)
        if name in IN_PAIRS:
            fine = len(node.args) + len(node.keywords) >= IN_PAIRS[name]
        elif name == "about":  # one argument: no words, such as a file or a driver's code
            fine = french or len(node.args) == 2 or _wordless(node.args[0])
        elif name in CLASSES:
            fine = french or not node.args or name in WITHOUT_WORDS
        else:
            fine = True  # ``english`` and what else makes no error
        lines[node.lineno] = fine
    return lines


def _wordless(node: ast.expr) -> bool:
    texts = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return not re.search(r"[a-z]{2}", "".join(texts))


def test_every_place_that_raises_an_error_says_it_in_french_too() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "connector").rglob("*.py"))}
    found = {
        str(path.relative_to(ROOT)): told(text)
        for path, text in texts.items()
        if "from connector.errors import" in text
    }
    assert [(name, line) for name, lines in found.items() for line, french in lines.items() if not french] == []
    assert sum(map(len, found.values())) > 90
    assert [path.name for path, text in texts.items() if "import errors" in text] == [], (
        "else its names would be missed"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('raise ConfigError("no")', False),
        ('raise ConfigError("no", french="non")', True),
        ("raise RunLocked()", True),
        ('raise TargetUnreadable(f"answers {status}")', False),
        ('raise TargetRefused.after("no")', False),
        ('raise TargetRefused.after("non", "no")', True),
        ('raise KeyReadable.about(f"File: {file}")', False),
        ('raise KeyReadable.about(f"File: {file}", f"Fichier : {file}")', True),
        ('raise StoreBusy.about(f"({name})")', True),
    ],
)
def test_the_look_for_french_finds_where_it_is_not(source: str, said: bool) -> None:
    assert told(source) == {1: said}


def test_an_error_is_english_as_text_and_french_when_asked() -> None:
    plain = StoreBusy()
    assert str(plain).startswith("The database is locked") and plain.french.startswith("La base de données est verr")
    about = StoreBusy.about("(SQLITE_BUSY)")
    assert str(about) == f"{plain} (SQLITE_BUSY)" and about.french == f"{plain.french} (SQLITE_BUSY)"
    own = SourceError("no answer", french="pas de réponse", retry_after=3)
    assert (str(own), own.french, own.retry_after) == ("no answer", "pas de réponse", 3)
    assert "\n" not in str(errors.WrongKey()) and '"relais key new"' in str(errors.WrongKey())


def test_an_error_without_french_of_its_own_says_what_its_class_does() -> None:
    """An adapter of others may give English alone."""
    assert TargetUnreadable("timed out").french == f"{TargetUnreadable.french} (timed out)"
    assert "place" in errors.MappingError("place.no_org_unit", path="place").french


def test_what_was_said_there_goes_before_what_to_do() -> None:
    refused = TargetRefused.after("dhis2 : interdit", "dhis2: forbidden")
    assert str(refused).startswith("dhis2: forbidden\nNothing was changed there.") and "--user" in str(refused)
    assert refused.french.startswith("dhis2 : interdit\nRien n'y a été changé.") and "--user" in refused.french
    changed = PlanChanged.because(4, "le paquet", "the pack")
    assert "the pack" in str(changed) and "le paquet" not in str(changed)
    assert "le paquet" in changed.french and "the pack" not in changed.french
