"""compose.yaml as docker-compose reads it: what it needs, what it adds up to with the files beside it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mnflow.runtime.project import ROOT

EVERYTHING = ("--profile", "tune", "--profile", "serve")


def compose(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask docker-compose (Debian's package) about the stack, with the .env of `folder`."""
    if shutil.which("docker-compose") is None:
        pytest.skip("needs docker-compose: apt-get install docker-compose")
    files = [
        "--project-directory",
        str(ROOT),
        "--env-file",
        str(folder / ".env"),
        "-f",
        str(ROOT / "compose.yaml"),
    ]
    return subprocess.run(
        ["docker-compose", *files, *words], capture_output=True, text=True, timeout=120, cwd=folder
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with the .env that `make secrets` writes."""
    subprocess.run(
        ["make", "-s", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "secrets"], check=True, timeout=60
    )
    return tmp_path


def test_make_secrets_writes_what_the_stack_asks_for_once(secrets: Path) -> None:
    written = (secrets / ".env").read_text()
    values = dict(line.split("=") for line in written.splitlines())
    asked = {
        line.split("${")[1].split(":?")[0]
        for line in (ROOT / "compose.yaml").read_text().splitlines()
        if ":?" in line
    }
    assert {*values} == {*asked, "COMPOSE_PROJECT_NAME"}
    assert len({*values.values()}) == len(values)
    assert (secrets / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run(
        ["make", "-C", str(secrets), "-f", str(ROOT / "Makefile"), "secrets"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.returncode != 0
    assert "left as it is" in again.stdout
    assert (secrets / ".env").read_text() == written


@pytest.mark.parametrize(
    "beside", [(), ("-f", "deploy/compose.ports.yaml"), ("-f", "deploy/compose.gpu.yaml")]
)
def test_docker_compose_accepts_the_files(secrets: Path, beside: tuple[str, ...]) -> None:
    words = [str(ROOT / w) if w.endswith(".yaml") else w for w in beside]
    done = compose(secrets, *words, *EVERYTHING, "config")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert {*services} == {"database", "objects", "tracking", "prepare", "worker", "dashboard", "model"}
    assert "${" not in done.stdout
    if "deploy/compose.ports.yaml" in beside:
        assert services["database"]["ports"]
    if "deploy/compose.gpu.yaml" in beside:
        assert "nvidia" in str(services["worker"]["deploy"])


def test_without_secrets_it_says_which_command_makes_them(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    done = compose(tmp_path, "config")
    assert done.returncode != 0
    assert "make secrets" in done.stderr


def test_images_install_packages_by_their_hashes_only() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "pip install" in line and not line.startswith("#")]
    assert len(installs) == 3
    assert all(
        line.count("pip install") == line.count("--require-hashes -r requirements") for line in installs
    )
