"""Every package that is installed with the gateway may be passed on under Apache-2.0."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

LOCK = (Path(__file__).parents[2] / "requirements.lock").read_text()
PACKAGES = re.findall(r"^([a-z0-9.-]+)==", LOCK, re.MULTILINE)
ALLOWED = re.compile(r"apache|mit|bsd|python software foundation|psf|isc|unlicense|mpl-2|mozilla public", re.IGNORECASE)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_licence_of_a_package_that_is_shipped_is_one_of_those_that_may_be(name):
    try:
        told = metadata(name)
    except PackageNotFoundError:
        pytest.skip("not for this platform")
    classifiers = [line for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    said = " ".join([told.get("License-Expression") or "", (told.get("License") or "")[:200], *classifiers])
    assert ALLOWED.search(said), said
    assert not re.search(r"\b(A?GPL|LGPL|SSPL|BUSL)\b", said), said
