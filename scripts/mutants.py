"""Do the tests notice? Plants small faults in the mappings and the counting, one at a time, in a copy of the tree.

    scripts/mutants.sh [--seed 7] [--count 30] [--show 12]

One run of the fast tests that know mappings or engine tells which test passes through which line; each fault is then
given only to the tests that pass through its line, quickest first. A fault on a line through which no test passes has
survived. The same seed plants the same faults. Exit 1 when fewer than 25 in 30 are noticed. A line may say
``# pragma: no mutate`` with the reason when a fault there changes nothing anybody could see (the size of a cache).
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue

from coverage import CoverageData

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("connector/mappings/*.py", "connector/engine/tally*.py")
TESTS = ("tests/unit", "tests/engine")
#: A file of tests that names none of these passes through no line in question.
KNOWS = ("connector.mappings", "connector.engine", "tests.engine", "pack_copy", "bootstrap")
FAST = "not slow and not browser"
COPIED = ("connector", "tests", "config", "scripts", "docker", "docs")  #: folders; files of the root come along
#: What one fault is given at most: tests, and a part of the time that all tests took together. A number of seconds
#: would mean fewer tests on a machine that is busy with something else, and so more faults that survive.
MOST_TESTS, MOST_OF_ALL = 300, 1 / 8
PATIENCE = 3  #: times as long as its tests took; longer is taken for a fault that never ends

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A fault to plant: the ``index``-th place of ``file``."""

    file: str
    index: int
    line: int
    says: str


@dataclass(frozen=True)
class Fate:
    fault: Fault
    noticed_by: str  #: "" = survived
    tests: int


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Sequence[ast.stmt]:
    """Statements without the docstring. Defaults, annotations and decorators are left alone."""
    first = function.body[0]
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return function.body[1:] if told else function.body


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes in which a fault means something: not messages of errors, annotations or assertions."""
    if isinstance(node, ast.Raise | ast.Assert | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.JoinedStr):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "slice") and isinstance(node, ast.AnnAssign | ast.arg):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _inside(child)


def _change(node: ast.AST) -> str | None:
    """Change the node for the worse; says what was done, or None when there is nothing to change."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARED:
            node.ops[0] = COMPARED[type(operator)]()
            return f"{type(operator).__name__} -> {type(node.ops[0]).__name__}"
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return f"becomes {type(node.op).__name__}"
        case ast.BinOp(op=operator) if type(operator) in CALCULATED and not _is_text(node):
            node.op = CALCULATED[type(operator)]()
            return f"{type(operator).__name__} -> {type(node.op).__name__}"
        case ast.UnaryOp(op=ast.Not()):
            node.op = ast.UAdd()
            node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
            return "not dropped"
        case ast.Constant(value=bool() as value):
            node.value = not value
            return f"{value} -> {not value}"
        case ast.Constant(value=int() as value):
            node.value = value + 1
            return f"{value} -> {value + 1}"
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            node.value = ast.Constant(None)
            return "returns None"
        case ast.If() | ast.IfExp():
            node.test = ast.Call(ast.Name("bool", ast.Load()), [ast.UnaryOp(ast.Not(), node.test)], [])
            return "condition turned round"
        case ast.Continue():
            return None
    return None


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
               for side in (node.left, node.right))  # fmt: skip


def _places(tree: ast.Module) -> list[ast.AST]:
    """Every node of every function body, in a fixed order."""
    found: list[ast.AST] = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in _body(function):
                found += _inside(statement)
    return found


def faults_of(file: str) -> list[Fault]:
    source = (ROOT / file).read_text(encoding="utf-8")
    left_alone = {number for number, line in enumerate(source.splitlines(), 1) if "pragma: no mutate" in line}
    found = []
    for index, node in enumerate(_places(ast.parse(source))):
        says = _change(node)
        line = getattr(node, "lineno", 0)
        if says and line not in left_alone:
            found.append(Fault(file, index, line, says))
    return found


def planted(fault: Fault) -> str:
    """The module's source with the fault in it."""
    tree = ast.parse((ROOT / fault.file).read_text(encoding="utf-8"))
    _change(_places(tree)[fault.index])
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def copy_of_tree(folder: Path) -> Path:
    folder.mkdir()
    for source in ROOT.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
        elif source.name in COPIED:
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    return folder


def run(folder: Path, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hyp")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def tests_by_line(folder: Path, workers: int) -> tuple[dict[tuple[str, int], set[str]], dict[str, float]]:
    """Which tests pass through which line, and how long each takes. SystemExit when the tests fail as they are."""
    report = folder / "report.xml"
    here = [
        str(path.relative_to(folder))
        for name in TESTS
        for path in sorted((folder / name).glob("test_*.py"))
        if any(word in path.read_text(encoding="utf-8") for word in KNOWS)
    ]
    done = run(
        folder, *here, "-m", FAST, "-n", str(workers), "--dist", "worksteal", f"--junitxml={report}",
        "-o", "junit_family=xunit1", "--cov", "--cov-context=test", "--cov-report=", "--cov-fail-under=0",
    )  # fmt: skip
    if done.returncode != 0:
        print(done.stdout[-3000:], file=sys.stderr)
        raise SystemExit("The tests must pass before faults are planted.")
    data = CoverageData(str(folder / ".coverage"))
    data.read()
    lines: dict[tuple[str, int], set[str]] = {}
    for measured in data.measured_files():
        name = str(Path(measured).resolve().relative_to(folder.resolve()))
        for line, contexts in data.contexts_by_lineno(measured).items():
            lines[name, line] = {context.rsplit("|", 1)[0] for context in contexts if context}
    seconds = {
        f"{case.get('file')}::{case.get('name')}": float(case.get("time", "0"))
        for case in ElementTree.parse(report).iter("testcase")
    }
    return lines, seconds


def most_seconds(seconds: dict[str, float]) -> float:
    """Seconds for the tests of one fault together, as slow as this machine is now; never fewer than 60."""
    return max(60.0, sum(seconds.values()) * MOST_OF_ALL)


def chosen(tests: set[str], seconds: dict[str, float], most: float) -> list[str]:
    """Tests of many kinds before many of one kind, the quickest first, up to a bound: of each test function one case,
    then of each a second one, and so on."""
    turns: dict[str, list[str]] = {}
    for test in sorted(tests, key=lambda name: (seconds.get(name, 1.0), name)):
        turns.setdefault(test.split("[")[0], []).append(test)
    ordered = [test for turn in zip_longest(*turns.values()) for test in turn if test is not None]
    found: list[str] = []
    total = 0.0
    for test in ordered:
        total += seconds.get(test, 1.0)
        if found and (len(found) >= MOST_TESTS or total > most):
            break
        found.append(test)
    return found


def fate_of(fault: Fault, tests: list[str], folder: Path, most: float) -> Fate:
    if not tests:
        return Fate(fault, "", 0)
    # A test's name may hold any character, so names go in by a file.
    names = folder / "chosen.txt"
    names.write_text("\n".join(tests), encoding="utf-8")
    target = folder / fault.file
    whole = target.read_text(encoding="utf-8")
    target.write_text(planted(fault), encoding="utf-8")
    try:
        done = run(folder, "-x", f"@{names}", seconds=most * PATIENCE)
        if done.returncode == 0:
            return Fate(fault, "", len(tests))
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return Fate(fault, failed[0].split(" ")[1] if failed else "the tests could not even start", len(tests))
    except subprocess.TimeoutExpired:
        return Fate(fault, "never ending", len(tests))
    finally:
        target.write_text(whole, encoding="utf-8")


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--count", type=int, default=30)
    options.add_argument("--workers", type=int, default=2)
    asked = options.parse_args()

    files = sorted(str(path.relative_to(ROOT)) for place in PLACES for path in ROOT.glob(place))
    every = [fault for file in files for fault in faults_of(file)]
    faults = random.Random(asked.seed).sample(every, min(asked.count, len(every)))
    least = -(-len(faults) * 25 // 30)
    print(f"{len(faults)} of {len(every)} possible faults in {len(files)} modules, seed {asked.seed}", file=sys.stderr)

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="relais-mutants-") as scratch:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(asked.workers):
            copies.put(copy_of_tree(Path(scratch) / str(number)))
        first = copies.get()
        print("running the tests as they are ...", file=sys.stderr)
        lines, seconds = tests_by_line(first, asked.workers)
        copies.put(first)
        most = most_seconds(seconds)
        print(f"{len(seconds)} tests, {sum(seconds.values()):.0f} s together", file=sys.stderr)

        def one(fault: Fault) -> Fate:
            folder = copies.get()
            try:
                tests = chosen(lines.get((fault.file, fault.line), set()), seconds, most)
                return fate_of(fault, tests, folder, most)
            finally:
                copies.put(folder)

        noticed = 0
        with ThreadPoolExecutor(asked.workers) as pool:
            for fate in pool.map(one, faults):
                noticed += bool(fate.noticed_by)
                fault = fate.fault
                result = f"noticed by {fate.noticed_by}" if fate.noticed_by else f"SURVIVED {fate.tests} tests"
                print(f"{fault.file}:{fault.line}  {fault.says}  {result}", flush=True)
    print(f"killed {noticed}/{len(faults)} (at least {least} wanted) in {time.monotonic() - started:.0f} s")
    return 0 if noticed >= least else 1


if __name__ == "__main__":
    sys.exit(main())
