"""The pages people read: nothing the program has is missing from them, and what can be tried in them is tried."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from connector.bootstrap import REASONS
from connector.errors import RelaisError
from connector.mappings import config as pack_config
from connector.mappings import lint, yaml_nodes
from connector.mappings.config_connections import SETTINGS
from connector.mappings.examples import run_examples
from connector.mappings.pack import Pack
from connector.model import TRANSITIONS, Cursor, Delivery, Finding, Severity, State, Verdict, Who
from connector.settings import Settings
from tests.sim import plan, servers

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
NAMED = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
ALL = "\n".join(NAMED.values())


def _script() -> ModuleType:
    """``scripts/make_reference.py`` as a module: a script is no package."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts/make_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _script()


def sandbox_env() -> dict[str, str]:
    """The variables of ``docs/sandbox.env``, as ``set -a; . docs/sandbox.env`` sets them."""
    lines = (DOCS / "sandbox.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def blocks(page: str, language: str = "") -> list[str]:
    """Fenced blocks of a page, their indentation removed."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", NAMED[page], re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


# ---------------------------------------------------------------- the pages are whole


def test_the_pages_made_from_code_are_up_to_date() -> None:
    assert reference.stale() == [], "run: python scripts/make_reference.py"


def test_every_command_and_option_is_there() -> None:
    text = NAMED["docs/commands.md"]
    sections = {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}
    for path, command in reference.commands():
        for parameter in command.params:
            names = parameter.opts if reference.is_option(parameter) else [parameter.name.upper()]
            for name in names:
                assert f"`{name}`" in sections[path], f"{path} {name}"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/settings.md", [f"RELAIS_{name.upper()}" for name in Settings.model_fields]),
        ("docs/settings.md", sorted({key for keys in SETTINGS.values() for key in keys})),
        ("docs/metrics.md", [row[0] for row in reference.metrics()]),
        ("docs/lint.md", list(reference.lint_codes())),
        ("docs/reasons.md", list(REASONS)),
        ("docs/reasons.md", [one.code for one in reference.error_classes()]),
        ("docs/reasons.md", list(reference.of_connections())),
        ("docs/reasons.md", [str(who) for who in Who]),
        ("docs/delivery.md", [str(state) for state in State]),
        ("docs/delivery.md", [str(verdict) for verdict in Verdict]),
    ],
)  # fmt: skip
def test_everything_with_a_name_is_on_its_page(page: str, names: list[str]) -> None:
    assert names
    assert [name for name in names if f"`{name}`" not in NAMED[page]] == []


def test_lint_codes_that_a_broken_pack_gives_are_known_to_the_page(tmp_path: Path) -> None:
    """What is read off the source is what really comes out."""
    pack = tmp_path / "pack"
    shutil.copytree(ROOT / "config/mali-health", pack)
    (pack / "connector.yaml").write_text("zone: Mars/Base\npack: {id: Ä, nmae: x}\nsources: []\n", "utf-8")
    (pack / "org_units.csv").write_text("place\n", "utf-8")
    (pack / "categories.yaml").write_text("categories: {", "utf-8")
    _, findings = _load(pack)
    seen = {one.code for one in findings}
    assert {"zone.unknown", "key.missing", "key.unknown", "csv.columns", "yaml.syntax", "category.unknown"} <= seen
    assert seen <= set(reference.lint_codes())


def test_variables_of_the_sandbox_are_those_the_pack_names() -> None:
    assert set(sandbox_env()) == set(reference.pack_variables())


# ---------------------------------------------------------------- the pages are true


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("name", NAMED)
def test_links_lead_somewhere(name: str) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", NAMED[name], flags=re.M | re.S)
    for link in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f"{name}: {link}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in map(_anchor, titles), f"{name}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), ["README.md"]
    while todo:
        name = todo.pop()
        seen.add(name)
        for link in re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", NAMED[name]):
            path = ((ROOT / name).parent / link).resolve().relative_to(ROOT).as_posix()
            if path in NAMED and path not in seen:
                todo.append(path)
    assert set(NAMED) - seen == set()


def test_files_that_the_pages_name_exist() -> None:
    """Paths in code spans; those below a pack or in the code of ``connector`` count."""
    for name, text in NAMED.items():
        for path in re.findall(r"`((?:connector|config|docker|scripts|tests|docs)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{name}: {path}"
        for path in re.findall(r"`((?:engine|mappings|store|adapters|cli|web|sandbox)/[\w./]+)`", text):
            assert (ROOT / "connector" / path).exists(), f"{name}: {path}"


def test_no_page_speaks_of_one_machine() -> None:
    for name, text in NAMED.items():
        found = re.search(r"(?<![\w.}:/-])/(work|tmp|home|root|Users)\b|[A-Z]:\\\\", text)
        assert found is None, f"{name}: {found}"


def test_commands_in_the_pages_exist() -> None:
    known = {path for path, _ in reference.commands()}
    groups = {" ".join(path.split()[:2]) for path in known}
    made = set(re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[0].split())
    for name, text in NAMED.items():
        for line in re.findall(r"`((?:\.venv/bin/)?relais [^`\n]+)`|^ *((?:\.venv/bin/)?relais .+)$", text, re.M):
            words = re.sub(r"^.*?relais ", "", "".join(line)).split()
            two, one = "relais " + " ".join(words[:2]), f"relais {words[0]}"
            if not name.endswith("commands.md") and re.match(r"[a-z]", words[0]):
                assert one in known or two in known or (one in groups and len(words) == 1), f"{name}: {line}"
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M):
            assert target in made, f"{name}: make {target}"


def _start(arguments: list[str], env: Mapping[str, str], folder: Path = ROOT) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RELAIS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "connector", *arguments], cwd=folder, env={**clean, "LANG": "en_GB.UTF-8", **env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_readme_can_be_followed() -> None:
    """Its ``relais`` commands, as written, with the variables it says to load."""
    lines = [line for block in blocks("README.md") for line in block.splitlines()]
    assert "set -a; . docs/sandbox.env; set +a" in lines
    written = [line.removeprefix(".venv/bin/relais ").split() for line in lines if line.startswith(".venv/bin/relais ")]
    assert written == [["--help"], ["version"], ["check"], ["test"]]
    for command, process in [(one, _start(one, sandbox_env())) for one in written]:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, f"relais {' '.join(command)}\n{out}{err}"
        assert out.strip() and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        (["version"], True, 0),
        (["check"], False, 3),  # variables the pack names are missing: findings of severity error
        (["check", "docs"], True, 2),  # no pack
        (["run", "--no-such-option"], True, 2),
    ],
)
def test_exit_codes_are_those_of_the_page(
    arguments: list[str], variables: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connector.cli import main

    for name in [name for name in os.environ if name.startswith("RELAIS_")]:
        monkeypatch.delenv(name)
    for name, value in sandbox_env().items() if variables else ():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        main()
        raise SystemExit(0)  # the interpreter's own end
    assert stop.value.code == code
    assert f"| {code} |" in NAMED["docs/commands.md"]


def test_the_two_commands_of_the_readme_are_scripts() -> None:
    makefile = (ROOT / "Makefile").read_text()
    first = blocks("README.md")[1].split("\n")[:2]
    assert first == ["make demo", "make test"]
    for target in ("demo", "test"):
        recipe = re.search(rf"^{target}:\n\t(.+)$", makefile, re.M)
        assert recipe and (ROOT / f"scripts/{target}.sh").stat().st_mode & 0o111
        assert f"scripts/{target}.sh" in recipe[1]


# ---------------------------------------------------------------- the walkthroughs work


def _load(folder: Path) -> tuple[Pack, list[Finding]]:
    pack, findings = pack_config.load_pack(folder, sandbox_env(), None)
    return pack, findings + lint.lint(pack)


def test_the_indicator_of_the_informaticians_page_counts(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(ROOT / "config/mali-health", folder)
    for text in blocks("docs/informatician.md", "yaml"):
        head, _, body = text.partition("\n")
        if not head.startswith("# add to "):
            continue
        file = folder / head.removeprefix("# add to ")
        file.write_text(file.read_text(encoding="utf-8").rstrip() + "\n" + body, "utf-8")
    pack, findings = _load(folder)
    assert [one for one in findings if one.severity is Severity.ERROR] == []
    assert dict(pack.indicators["X01"].elements) == {"num": "MH_X01_NUM", "den": "MH_X01_DEN"}
    beside = folder / "indicators/sec-core.test.yaml"
    for other in set(folder.rglob("*.test.yaml")) - {beside}:
        other.unlink()
    results = run_examples(pack)
    assert results.failures == []
    assert results.passed == beside.read_text(encoding="utf-8").count("\n  - name: ")


def entries(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of one file of a pack (indicators, episodes, registers) by id, as written."""
    node = yaml_nodes.read_yaml(path, path.name, yaml_nodes.Findings())
    top = yaml_nodes.plain(node) if node is not None else []
    lists = [top] if isinstance(top, list) else [one for one in top.values() if isinstance(one, list)]
    return {entry["id"]: entry for several in lists for entry in several if isinstance(entry, dict) and "id" in entry}


def test_what_the_informaticians_page_shows_of_the_pack_stands_in_the_pack(tmp_path: Path) -> None:
    pack = ROOT / "config/mali-health"
    names = [pack / "episodes.yaml", pack / "registers.yaml", *(pack / "indicators").glob("*.yaml")]
    known = {id: entry for path in names if not path.name.endswith(".test.yaml") for id, entry in entries(path).items()}
    shown = 0
    for text in blocks("docs/informatician.md", "yaml"):
        if text.startswith(("# add ", "# put in ")):
            continue
        (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
        for id, entry in entries(tmp_path / "shown.yaml").items():
            for key, value in entry.items():
                there = known[id][key]
                if isinstance(value, list):  # a page may leave some out
                    there = [one for one in there if one in value]
                elif key == "facts":
                    there = {name: there[name] for name in value}
                assert there == value, (id, key)
            shown += 1
    assert shown >= 5


#: Pages whose every block is followed in order: commands are run, files written, lines added.
#: What a command of them ends with, where not with 0.
ENDS = {"relais org-units tree.json --out org_units.csv": 3}
STEP_BY_STEP = ["add-an-indicator", "map-a-new-form", "add-an-app", "move-an-org-unit"]


def _write(text: str) -> None:
    """A block whose first line says what to do: ``# put in FILE``, ``# add to FILE``, ``# add under KEY in FILE``."""
    head, _, body = text.partition("\n")
    put, add, under = (
        re.match(p, head) for p in (r"# put in (\S+)$", r"# add to (\S+)$", r"# add under (\w+) in (\S+)$")
    )
    if put:
        Path(put[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(put[1]).write_text(body, "utf-8")
    elif add:
        file = Path(add[1])
        file.write_text(file.read_text("utf-8").rstrip("\n") + "\n" + body, "utf-8")
    else:
        assert under, head
        file = Path(under[2])
        file.write_text(file.read_text("utf-8").replace(f"{under[1]}:\n", f"{under[1]}:\n{body}", 1), "utf-8")


@pytest.mark.parametrize("name", STEP_BY_STEP)
def test_a_page_can_be_followed_step_by_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from connector.cli import main

    for variable in [one for one in os.environ if one.startswith("RELAIS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    page = NAMED[f"docs/{name}.md"]
    assert len(page.splitlines()) <= 115, "two screens and a little"
    ran = []
    for _, language, text in re.findall(r"^( *(?:\d+\. )?)```(\w*)\n(.*?)^ *```$", page, re.M | re.S):
        text = re.sub(r"^   ", "", text, flags=re.M)
        if language in ("yaml", "csv", "json"):
            _write(text)
        for line in text.splitlines() if not language else ():
            if line.startswith("cd "):
                monkeypatch.chdir(Path.cwd() / line[3:])
            elif line.startswith("set -a"):
                variables = (
                    one.split("=", 1) for one in Path("relais.env").read_text("utf-8").splitlines() if one[0] != "#"
                )
                for variable, value in variables:
                    monkeypatch.setenv(variable, value)
            else:
                assert line.startswith("relais "), line
                monkeypatch.setattr(sys, "argv", line.split())
                with pytest.raises(SystemExit) as stop:
                    main()
                assert stop.value.code == ENDS.get(line, 0), line
                ran.append(line)
    assert ran[-2:] == ["relais check .", "relais test ."] and ran[0].startswith("relais init ")


def _variables(file: str) -> dict[str, str]:
    lines = Path(file).read_text("utf-8").splitlines()
    return dict(one.split("=", 1) for one in lines if one and one[0] != "#")


def test_the_page_on_the_sandbox_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands in order, the servers in a process of their own at free ports; the figures DHIS2 then holds are
    those of the three records that the page writes."""
    import httpx

    from connector.cli import main

    for variable in [one for one in os.environ if one.startswith("RELAIS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    servers: subprocess.Popen[str] | None = None
    wanted = {"relais setup dhis2": 3}
    read = None
    try:
        for _, language, text in re.findall(
            r"^( *)```(\w*)\n(.*?)^ *```$", NAMED["docs/try-in-the-sandbox.md"], re.M | re.S
        ):
            text = re.sub(r"^   ", "", text, flags=re.M)
            if language:
                _write(text)
                continue
            for line in text.splitlines():
                words = shlex.split(os.path.expandvars(line))
                if line.startswith("cd "):
                    monkeypatch.chdir(Path.cwd() / line[3:])
                elif line.startswith("set -a"):
                    for file in re.findall(r"; \. (\S+)(?=;)", line):
                        for variable, value in _variables(file).items():
                            monkeypatch.setenv(variable, value)
                    if servers is not None:  # other ports than the usual ones, which may be taken here
                        monkeypatch.setenv("RELAIS_DHIS2_URL", _variables("var/sandbox.env")["RELAIS_DHIS2_URL"])
                elif line.startswith("relais sandbox serve"):
                    small = ["--ports-from", "0", "--sites", "3", "--chws", "6", "--indicators", "first"]
                    servers = _start([*words[1:], *small], {"PYTHONPATH": str(ROOT)}, Path.cwd())
                    assert servers.stdout is not None and servers.stdout.readline().startswith('{"cht":')
                elif line.startswith("curl"):
                    header, value = words[3].split(": ")
                    read = httpx.get(words[4], headers={header: value}).json()
                else:
                    monkeypatch.setattr(sys, "argv", words)
                    with pytest.raises(SystemExit) as stop:
                        main()
                    assert stop.value.code == wanted.get(line, 0), f"{line}: {capsys.readouterr()}"
    finally:
        if servers is not None:
            servers.terminate()
            _, told = servers.communicate(timeout=30)
    assert "Relais-sandbox-admin-1" in told and "Ctrl-C" in told and "2026-10-05" in told
    assert read is not None
    figures = {(one["dataElement"], one["categoryOptionCombo"]): one["value"] for one in read["dataValues"]}
    assert figures == {
        ("ST_V01", "AGE_M12_59"): "1", ("ST_V01", "AGE_M0_11"): "1", ("ST_V02_DEN", "AGE_M12_59"): "1",
        ("ST_V02_NUM", "AGE_M12_59"): "1", ("ST_V03", "default"): "1",
    }  # fmt: skip


def test_the_functions_of_the_informaticians_page_are_all_there_are() -> None:
    told = set(re.findall(r"^\| `\$([a-z]+)\(", NAMED["docs/informatician.md"], re.M))
    assert told == set(lint.functions("UTC"))


def _python(page: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for text in blocks(page, "python"):
        exec(compile(text, page, "exec"), names)  # our own page
    return names


def test_the_source_of_the_developers_page_reads_on_where_it_stopped() -> None:
    import asyncio

    rows = [{"id": "a", "form": "visit", "n": 1}]
    source = _python("docs/developer.md")["ListSource"]("list", rows)

    async def read(since: Cursor | None) -> Any:
        return [page async for page in source.pages(since)][-1]

    first = asyncio.run(read(None))
    rows.append({"id": "a", "form": "visit", "n": 2})
    second = asyncio.run(read(first.cursor))
    assert [(r.id, r.form) for r in (*first.records, *second.records)] == [("list/rows/a", "visit")] * 2
    assert first.records[0].revision != second.records[0].revision
    assert asyncio.run(source.probe()) == []


def test_the_target_of_the_developers_page_can_be_looked_up() -> None:
    import asyncio

    target = _python("docs/developer.md")["NotebookTarget"]("notebook")
    wanted = Delivery(1, "notebook", "k", "note", 1, "d", {"text": "one"})
    newer = Delivery(1, "notebook", "k", "note", 2, "e", {"text": "two"})
    assert asyncio.run(target.look_up(wanted)) is None
    assert [o.verdict for o in asyncio.run(target.deliver([wanted], None))] == [Verdict.ACCEPTED]
    assert asyncio.run(target.look_up(wanted)).matches and not asyncio.run(target.look_up(newer)).matches


# ---------------------------------------------------------------- errors say what they must

#: What a person should do, in the words the sentences use.
_ACT = re.compile(r"\b(should|Run|Set|Give|Make|Mend|See the message|Wait|Nobody has to act|run again)\b")


@pytest.mark.parametrize("error", reference.error_classes(), ids=lambda one: one.__name__)
def test_an_error_says_what_happened_what_relais_does_and_what_to_do(error: type[RelaisError]) -> None:
    text = " ".join((error.__doc__ or "").split())
    sentences = [one for one in re.split(r"(?<=[.;])\s+", text) if one]
    assert len(sentences) >= 3, "what happened; what Relais does now; what a person should do"
    assert re.search(r"\b(Relais|Nothing|nothing|kept|This one|waits)\b", " ".join(sentences[1:])), text
    assert _ACT.search(" ".join(sentences[1:])), text


def test_error_codes_name_one_class_each() -> None:
    codes = [one.code for one in reference.error_classes()]
    assert len(codes) == len(set(codes)) and all(re.fullmatch(r"[a-z]+\.[a-z_]+", one) for one in codes)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_reason_has_a_sentence(language: str) -> None:
    empty: Callable[[Any], bool] = lambda r: len(getattr(r, language)) < 10 or getattr(r, language)[-1] not in ".!?"  # noqa: E731
    assert [code for code, one in REASONS.items() if empty(one)] == []


def test_every_decision_page_has_its_four_parts_and_is_listed() -> None:
    pages = sorted(path for path in (DOCS / "adr").glob("0*.md"))
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]} ")
        for part in ("**Context.**", "**Decision.**", "**What it costs.**", "**What would change our mind.**"):
            assert part in text, f"{path.name}: {part}"
        assert f"({path.name})" in NAMED["docs/adr/README.md"]


def test_the_page_on_deliveries_has_every_change_of_state_and_no_other() -> None:
    there = set(re.findall(r"^\| `(\w+)` → `(\w+)` \| (.+) \|$", NAMED["docs/delivery.md"], re.M))
    assert there == {(old, new, why) for old, news in TRANSITIONS.items() for new, why in news.items()}
    assert set(TRANSITIONS) == set(State)


def test_every_promise_names_its_command_and_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| `(make .+?)` \| (.+) \|$", NAMED["docs/guarantees.md"], re.M)
    assert [int(number) for number, _, _ in rows] == list(range(1, 19))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for number, command, held_by in rows:
        assert command.split()[1] in targets, command
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", held_by)
        assert tests and len(tests) == held_by.count("::"), number
        for file, name in tests:
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(def|class|async def) {name}\b|^{name} = ", text, re.M), f"{file}::{name}"


def test_what_servers_do_has_a_test_and_happens_in_the_simulation_under_its_name() -> None:
    page = NAMED["docs/as-servers-answer.md"]
    written = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in set(re.findall(r"`(?:tests/[\w/]+\.py::)?(test_\w+)`", page)):
        assert re.search(rf"^(async )?def {name}\(", written, re.M), name
    known = {*plan.BEFORE, *plan.AFTER, *plan.LATE, *plan.DOMAIN, *plan.TRACKER, *servers.ALL}
    last = "\n".join(line.rstrip("|").rpartition("|")[2] for line in page.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(\w+)`", last)) - {"flip", "delete", "put", "purge"}
    assert named <= known and named >= servers.ALL
