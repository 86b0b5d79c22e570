"""The house table: what import-linter is told covers every module there is."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from connector.store.unit import Unit

ROOT = Path(__file__).parents[2]
ADAPTERS = sorted(path.stem for path in (ROOT / "connector/adapters").glob("*.py") if path.stem != "__init__")
#: What all adapters share.
SHARED = {"reasons"}


def _system(module: str) -> str:
    """The system an adapter module speaks to: its first word, but the answers to CHT are a target of their own."""
    return module if module == "cht_answers" else module.split("_")[0]


def _imported_adapters(module: str) -> set[str]:
    tree = ast.parse((ROOT / f"connector/adapters/{module}.py").read_text(encoding="utf-8"))
    names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    return {name.split(".")[2] for name in names if name.startswith("connector.adapters.")}


def test_adapters_of_different_systems_never_import_each_other() -> None:
    for module in ADAPTERS:
        others = {name for name in _imported_adapters(module) - SHARED if _system(name) != _system(module)}
        assert not others, f"{module} imports {others}"


def test_every_adapter_module_is_named_in_the_contracts() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configured["tool"]["importlinter"]["contracts"]
    named = {
        name.rsplit(".", 1)[1]
        for contract in contracts
        for name in contract.get("source_modules", []) + contract.get("modules", [])
        if name.startswith("connector.adapters.")
    }
    assert set(ADAPTERS) - SHARED == named


def test_every_part_of_the_house_is_named_in_the_contracts() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wires = {"bootstrap", "__init__", "__main__"}  # may import everything
    inside = (ROOT / "connector").iterdir()
    parts = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()}
    for part in parts - wires:
        assert f'"connector.{part}"' in text, f"connector.{part} is in no contract"


def test_no_two_parts_of_the_unit_of_work_have_a_query_of_one_name() -> None:
    """The first would hide the second, and only its caller would notice."""
    names: dict[str, list[str]] = {}
    for part in Unit.__mro__:
        for name in vars(part):
            if not name.startswith("_"):
                names.setdefault(name, []).append(part.__name__)
    assert not {name: parts for name, parts in names.items() if len(parts) > 1}


def test_no_module_of_the_core_reads_the_clock_or_throws_dice() -> None:
    core = ["model", "errors", "identity", "periods", "retry", "ports"]
    files = [ROOT / f"connector/{name}.py" for name in core]
    files += [*(ROOT / "connector/mappings").glob("*.py"), *(ROOT / "connector/engine").glob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in {
                "datetime.now", "datetime.utcnow", "date.today", "time.time", "uuid.uuid4", "uuid4", "random.random",
                "random.choice", "secrets.token_hex", "os.urandom",
            }, f"{file.relative_to(ROOT)}:{node.lineno} calls {called}"  # fmt: skip
