"""Who installs the client gets msgspec and aiokafka with it, and what it then asks for in vain says which extra brings it."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_frame_build import ROOT, python

CLIENT = {"aiokafka", "async-timeout", "cramjam", "msgspec", "packaging", "typing-extensions"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the wheel and what it requires, and what that requires: as a user's environment has it."""
    folder = tmp_path_factory.mktemp("client")
    python("deploy/build.py", str(folder), cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    for name in _closure(_required(_metadata(site).read_text("utf-8"))):
        _copy(name, site)
    return site


def _metadata(site):
    (folder,) = site.glob("leverage_gateway-*.dist-info")
    return folder / "METADATA"


def _required(metadata):
    """What is required without an extra."""
    lines = Parser().parsestr(metadata).get_all("Requires-Dist") or []
    return [one for one in map(Requirement, lines) if _is_wanted(one, {""})]


def _is_wanted(one, extras):
    return one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)


def _closure(required):
    """All names that these bring, through what each of them requires here."""
    found, waiting = set(), list(required)
    while waiting:
        one = waiting.pop()
        found.add(canonicalize_name(one.name))
        below = map(Requirement, distribution(one.name).requires or [])
        waiting += [other for other in below if _is_wanted(other, {"", *one.extras})]
    return found


def _copy(name, site):
    for file in distribution(name).files or []:
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file() and source.suffix != ".pyc":
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, site / file)


def run(site, code):
    """What Python says with these packages and no others."""
    command = (sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{code}")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_client_brings_msgspec_and_aiokafka_with_its_codecs_and_no_more(site):
    required = _required(_metadata(site).read_text("utf-8"))
    assert {one.name for one in required} == {"aiokafka", "msgspec"}
    assert _closure(required) == CLIENT


def test_the_client_is_imported_with_these_only(site):
    modules = "gateway.client, gateway.client.testing, gateway.client.dead_letters, schemas"
    done = run(site, f"import {modules}\nprint(gateway.client.connect('kafka://127.0.0.1:9092'))")
    assert "Client object" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from gateway.client import connect; connect('ws://127.0.0.1:1/v1/stream', token='t')", "websocket"),
        ("from gateway.cli import main; main(['run'])", "gateway"),
    ],
)
def test_what_is_an_extra_says_so(site, code, extra):
    done = run(site, code)
    assert done.returncode in {1, 3}
    assert done.stderr.endswith(f"an extra: pip install 'leverage-gateway[{extra}]'\n")
