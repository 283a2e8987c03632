"""Programs that tests of `deploy/` run, from Debian's packages; where one is missing the test says which to install.

Skipped on a laptop without them; with DEMAND_KAFKA_TESTS=1, as CI sets it, their absence fails.
"""

import os
import shutil
import subprocess

import pytest


def program(name: str, package: str) -> str:
    """The path of a program; skips, or in CI fails, without it."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed; Debian and Ubuntu have it in the package {package}"
        if os.environ.get("DEMAND_KAFKA_TESTS", "") not in ("", "0"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def output_of(*command: str) -> str:
    """What a program says where it ends well; else the test fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
