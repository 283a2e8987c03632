"""The broker with an authorizer and a listener of each kind, one for all that needs it."""

from collections.abc import Generator

import pytest

from tests.kafka.secured import Secured


@pytest.fixture(scope="session")
def secured(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Secured]:
    secured = Secured(tmp_path_factory.mktemp("secured"))
    try:
        secured.start()
        yield secured
    finally:
        secured.stop()
