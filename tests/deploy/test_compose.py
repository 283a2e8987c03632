"""The files of the laptop's topology agree with each other and with the commands; `tests.deploy.rolling` runs them."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.cli.commands import make_app
from gateway.settings.file import load_settings

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
SERVICES = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("leverage-gateway:")}


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_runs_a_command_that_there_is(name):
    make_app().parse_args(OURS[name]["command"], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", [name for name in OURS if "environment" in OURS[name]])
def test_the_environment_of_every_service_is_one_that_settings_take(name, tmp_path):
    settings = load_settings(None, OURS[name]["environment"], limit_names={}, with_accounts=False)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"


def test_each_gateway_is_a_member_of_its_own_and_on_a_port_that_is_scraped_and_published():
    members = {
        service["environment"].get("GATEWAY_KAFKA__GROUP_INSTANCE_ID")
        for service in OURS.values()
        if service["command"][0] == "run"
    }
    assert members == {"gateway-0", "gateway-1"}
    ports = {
        value.split(":")[1]
        for service in OURS.values()
        for name, value in service.get("environment", {}).items()
        if name.endswith("__LISTEN")
    }
    scraped = re.findall(r"127\.0\.0\.1:(\d+)", (COMPOSE / "prometheus.yml").read_text())
    assert ports == set(scraped)
    assert {f"{port}:{port}" for port in ports} <= set(SERVICES["kafka"]["ports"])


def test_what_is_mounted_is_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (COMPOSE / source).exists(), source


def test_no_container_of_ours_writes_to_its_root_or_has_more_rights_than_it_needs():
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
