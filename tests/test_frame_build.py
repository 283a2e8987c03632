"""What `make build` makes installs and runs away from this repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = (
    "-m",
    "pip",
    "--disable-pip-version-check",
    "install",
    "--quiet",
    "--no-deps",
    "--no-index",
    "--no-build-isolation",
)


def python(*arguments, cwd, **environ):
    """Run this Python with its scripts at hand; what it printed."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environ = {**os.environ, "PATH": path, **environ}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environ, check=True, capture_output=True, text=True, timeout=100
    ).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    python("deploy/build.py", str(folder), cwd=ROOT)
    return {file.suffix: file for file in folder.iterdir()}


def test_the_same_sources_give_the_same_bytes_at_another_time_in_another_place(built, tmp_path):
    copy = tmp_path / "elsewhere"
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "requirements.lock", "gateway", "schemas"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=aged)
        else:
            copy.mkdir(exist_ok=True)
            aged(ROOT / name, copy / name)
    (tmp_path / "dist").mkdir()
    python(str(ROOT / "deploy" / "build.py"), str(tmp_path / "dist"), cwd=copy)
    again = {file.suffix: file for file in (tmp_path / "dist").iterdir()}
    assert {kind: file.read_bytes() for kind, file in again.items()} == {
        kind: file.read_bytes() for kind, file in built.items()
    }


def aged(source, target):
    """Copy a file as if it had been written long ago by somebody else."""
    shutil.copyfile(source, target)
    os.utime(target, (1_000_000_000, 1_000_000_000))
    os.chmod(target, 0o600)  # noqa: PTH101 - what copytree calls
    return target


@pytest.mark.parametrize("kind", [".whl", ".gz"], ids=["wheel", "sdist"])
def test_what_is_built_installs_and_runs_elsewhere(built, kind, tmp_path):
    site = tmp_path / "site"
    python(*PIP, "--target", str(site), str(built[kind]), cwd=tmp_path)
    place = python("-c", "import gateway, schemas; print(gateway.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(place.strip()).is_relative_to(site)
    run = "from gateway.cli import main; main(['check-config', '--help'])"
    assert "check-config" in python("-c", run, cwd=tmp_path, PYTHONPATH=str(site))
    assert (site / "gateway" / "py.typed").exists()
    assert (site / "gateway" / "limits" / "shared.lua").exists()
