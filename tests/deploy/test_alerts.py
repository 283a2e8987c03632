"""The alert rules: each fires and stays quiet as its unit tests say, has its page, and asks for metrics that exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from gateway.cli.commands import make_app
from gateway.telemetry.metrics import Metrics
from tests.deploy.alert_cases import CASES
from tests.deploy.tools import output_of, program

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALL = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def commands_of(alert):
    """The commands of a page's one `sh` block."""
    [block] = re.findall(r"```sh\n(.*?)```", (DEPLOY / "runbook" / f"{alert}.md").read_text(), re.DOTALL)
    return [shlex.split(line) for line in block.splitlines() if line]


def test_every_alert_fires_and_stays_quiet_as_it_should(tmp_path):
    promtool = program("promtool", "prometheus")
    tests = [test for case in CASES for test in case.unit_tests(ALERTS[case.alert]["labels"]["severity"])]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    output_of(promtool, "test", "rules", str(file))


def test_every_alert_has_its_cases():
    assert [case.alert for case in CASES] == list(ALERTS)


def test_the_rules_are_as_promtool_wants_them():
    output_of(program("promtool", "prometheus"), "check", "rules", "--lint=all", "--lint-fatal", str(RULES))


def test_rules_ask_for_metrics_that_the_gateway_has():
    known = {row.name + suffix for row in Metrics().rows for suffix in SUFFIXES[row.kind]}
    asked = {name for rule in ALL for name in re.findall(r"\bgateway_\w+", rule["expr"])}
    assert asked <= known


def test_every_alert_has_a_page_and_every_page_an_alert():
    pages = {page.stem for page in (DEPLOY / "runbook").glob("*.md")} - {"README", "dead-letters"}
    assert pages == set(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"deploy/runbook/{alert}.md"
        assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_names_commands_that_show_more_and_that_can_be_typed(alert):
    commands = commands_of(alert)
    assert commands
    for program_name, *arguments in commands:
        assert program_name in {"leverage-gateway", "curl", "promtool", "kubectl"}
        if program_name == "leverage-gateway":
            make_app().parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_says_what_it_means_what_to_do_and_when_it_is_over(alert):
    text = (DEPLOY / "runbook" / f"{alert}.md").read_text()
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [alert, "Means", "See more", "Do", "Over when"]
