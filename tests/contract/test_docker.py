"""Container and service files, checked without an engine.

That the image builds is shown only as far as this: its instructions are linted, and the slow test below does by hand
what they say (install by hash, build the wheel, run as a user without rights in a folder of its own, healthcheck).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from connector.crypto import new_master_key
from connector.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
ENVIRONMENT = {"POSTGRES_PASSWORD": "abc", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def tool(name: str) -> str:
    """A tool installed beside this Python, or on the path; the test is skipped where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def run(*command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=ROOT, check=False)


def compose(file: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run(tool("docker-compose"), "-f", str(file), "config", "--format", "json", env={**ENVIRONMENT, **env})


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, arguments) of the Dockerfile, continuation lines joined."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines]


def test_the_compose_file_is_sound() -> None:
    done = compose(DOCKER / "compose.yml")
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"relais", "postgres"}
    assert services["postgres"]["image"].startswith("postgres:15")
    relais = services["relais"]
    assert relais["read_only"] and relais["cap_drop"] == ["ALL"]
    assert [port["host_ip"] for port in relais["ports"]] == ["127.0.0.1"], "open to the machine only"


def test_the_check_of_the_compose_file_can_fail(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yml"
    broken.write_text((DOCKER / "compose.yml").read_text().replace("service_healthy", "service_hale"))
    assert compose(broken).returncode != 0


def test_compose_refuses_to_start_without_a_password() -> None:
    done = compose(DOCKER / "compose.yml", POSTGRES_PASSWORD="")
    assert done.returncode != 0 and "POSTGRES_PASSWORD" in done.stderr


def test_the_dockerfile_is_sound(tmp_path: Path) -> None:
    done = run(tool("hadolint"), "--no-color", str(DOCKER / "Dockerfile"))
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "Dockerfile"
    broken.write_text((DOCKER / "Dockerfile").read_text().replace("python:3.12-slim-bookworm", "python:latest"))
    assert run(tool("hadolint"), str(broken)).returncode != 0, "the check can fail"


def test_the_image_runs_without_rights_and_knows_its_health() -> None:
    found = instructions()
    assert ("USER", "10001:10001") in found
    assert any(name == "HEALTHCHECK" and "relais-healthcheck" in arguments for name, arguments in found)
    last_stage = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    assert not [a for n, a in found[last_stage:] if n == "COPY" and re.search(r"\b(tests|scripts)\b", a)]


def test_what_the_image_copies_is_let_through_to_the_build() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in instructions():
        if name != "COPY" or "--from" in arguments:
            continue
        for source in [part for part in arguments.split()[:-1] if not part.startswith("--")]:
            assert source in let_through, f"{source} is copied but .dockerignore hides it"
            assert (ROOT / source).exists() or source == "config", f"{source} does not exist"


def _variables() -> set[str]:
    """Every RELAIS_ variable that the container and service files set."""
    text = YAML(typ="safe").load((DOCKER / "compose.yml").read_text())
    found = set(text["services"]["relais"]["environment"])
    for name, arguments in instructions():
        if name == "ENV":
            found |= {part.split("=", 1)[0] for part in shlex.split(arguments)}
    found |= set(re.findall(r"^Environment=(\w+)=", (DOCKER / "relais.service").read_text(), re.M))
    return {name for name in found if name.startswith("RELAIS_")}


def test_every_variable_set_there_is_a_setting() -> None:
    known = {f"RELAIS_{name.upper()}" for name in Settings.model_fields}
    assert _variables() <= known, _variables() - known


def test_the_service_file_is_sound(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    unit = tmp_path / "relais.service"
    text = (DOCKER / "relais.service").read_text()
    unit.write_text(text.replace("/opt/relais/bin/relais serve", "/bin/true"))
    done = run(analyze, "verify", str(unit))
    if "Failed to" in done.stderr and "relais.service" not in done.stderr:
        pytest.skip("systemd-analyze does not work here")
    assert done.returncode == 0 and "relais.service" not in done.stderr, done.stderr
    unit.write_text(unit.read_text().replace("StateDirectory=", "StateDirectori="))
    assert "StateDirectori" in run(analyze, "verify", str(unit)).stderr, "the check can fail"


def test_lock_files_are_pinned_by_hash_and_hold_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-analytics.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text and not re.search(r"^\s*-{1,2}(?!-?hash)[a-z]", text, re.M)
        for block in re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.M).strip()):
            assert re.match(r"[a-z0-9.-]+==\S+( ;.*)? \\\n\s+--hash=sha256:[0-9a-f]{64}", block), block[:80]


def test_what_runs_is_a_part_of_what_is_tested() -> None:
    pins = [
        set(re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.M))
        for name in ("requirements.txt", "requirements-dev.txt")
    ]
    assert pins[0] <= pins[1], pins[0] - pins[1]


# ---------------------------------------------------------------- the stand-in for building the image


def _as_nobody(command: list[str]) -> list[str]:
    """The command as a user without rights, where this test may change user."""
    if os.geteuid() != 0:
        return command
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is needed to run as another user")
    return [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", *command]


def _python_for_all() -> str:
    """A Python of 3.11 or newer that a user without rights can run: one under /root cannot be."""
    fit = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    for candidate in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        # through a shell: setpriv itself may still open what the user cannot
        tried = _as_nobody(["/bin/sh", "-c", f"exec {candidate} -c '{fit}'"])
        if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip("no Python here that a user without rights can run")


@pytest.mark.slow
def test_the_wheel_installs_as_the_image_does_and_is_healthy_without_rights() -> None:
    with tempfile.TemporaryDirectory(prefix="relais-image-") as made:  # pytest's own folders are for their owner only
        Path(made).chmod(0o755)
        _install_and_check(Path(made))


def _install_and_check(place: Path) -> None:
    venv, dist, home = place / "opt", place / "dist", place / "home"
    subprocess.run([_python_for_all(), "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--require-hashes", "--no-deps", "-r", "requirements.txt"], check=True, cwd=ROOT)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(dist), "."]
    subprocess.run(build, check=True, cwd=ROOT)
    (wheel,) = dist.glob("relais-*.whl")
    subprocess.run([*pip, "install", "--no-deps", str(wheel)], check=True)
    shutil.copytree(ROOT / "config", place / "config")
    healthcheck = shutil.copy(DOCKER / "healthcheck", venv / "bin" / "relais-healthcheck")
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RELAIS_HOME": str(home),
        "RELAIS_PACK": str(place / "config" / "mali-health"),
        "RELAIS_MASTER_KEY": new_master_key(),
        "RELAIS_PORT": str(port),
    }
    # Whatever the pack names as ${NAME}: addresses where nothing listens, so that every target is down.
    pack_text = "".join(p.read_text(encoding="utf-8") for p in (place / "config").rglob("*.yaml"))
    for name in set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)\}", pack_text)):
        environment[name] = "http://127.0.0.1:9" if name.endswith("URL") else str(home)
    server = subprocess.Popen(
        _as_nobody([str(venv / "bin" / "relais"), "serve"]), env=environment, cwd=home,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            check = subprocess.run(
                _as_nobody([str(healthcheck)]), env=environment, cwd=home, capture_output=True, timeout=20, check=False
            )
            if check.returncode == 0:
                break
            assert server.poll() is None, (server.stderr.read() if server.stderr else b"").decode()[-2000:]
            assert time.monotonic() < deadline, check.stdout.decode() + check.stderr.decode()
            time.sleep(1)
    finally:
        server.terminate()
        server.communicate(timeout=60)
    gone = subprocess.run(_as_nobody([str(healthcheck)]), env=environment, cwd=home, capture_output=True, check=False)
    assert gone.returncode != 0, "a healthcheck that cannot fail is none"
