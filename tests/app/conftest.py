"""One deployment and one gateway for all tests of a module, on the module's own event loop."""

import logging
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from gateway.app import Gateway
from tests.app.rig import Rig, deployed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    folder: Path = tmp_path_factory.mktemp("app")
    async with deployed(kafka_bootstrap, folder) as rig:
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(rig: Rig) -> AsyncGenerator[Gateway]:
    async with rig.gateway() as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest):
    yield
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").simulator.faults.clear()


@pytest.fixture(autouse=True, scope="package")
def _quiet() -> Generator[None]:
    """Thousands of commands would be thousands of lines; processes write theirs to files."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()
