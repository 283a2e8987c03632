"""The options that every aiokafka client gets."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from gateway.kafka.connection import client_options
from gateway.settings.certificates import CertificateError
from gateway.settings.tree import KafkaSettings


async def test_every_kind_of_client_takes_the_options(tmp_path):
    (tmp_path / "password").write_text("pass word\n")
    settings = KafkaSettings(security_protocol="SASL_SSL", sasl_username="u", sasl_password_file="password")
    options = client_options(settings, tmp_path)
    await AIOKafkaConsumer(**options).stop()
    await AIOKafkaProducer(**options).stop()
    await AIOKafkaAdminClient(**options).close()
    assert options["sasl_plain_password"] == "pass word"
    assert options["ssl_context"].check_hostname


def test_servers_are_split_at_commas():
    options = client_options(KafkaSettings(bootstrap_servers="a:1, b:2"), Path())
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options.keys() == {"bootstrap_servers", "client_id", "request_timeout_ms", "security_protocol"}


def test_a_certificate_that_is_none_is_told_with_its_setting(tmp_path):
    (tmp_path / "ca").write_text("7f3c9d")
    with pytest.raises(CertificateError, match=r"kafka\.ssl_cafile: expected a PEM file") as refused:
        client_options(KafkaSettings(security_protocol="SSL", ssl_cafile="ca"), tmp_path)
    assert "7f3c9d" not in str(refused.value)
