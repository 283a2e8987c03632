"""Every error of the product is in the drawing of `exits`, and ends where the drawing says."""

import importlib
import pkgutil
import re

import aiokafka.errors
import pytest

import gateway
import schemas
from gateway.cli import exits
from gateway.client import MissingTopicError, UnansweredError, UnconfirmedError
from gateway.client.dead_letters import DraftError, NotMendableError, PlanError, StoppedError, TakenOverError

MET_BY_COMMANDS = (
    MissingTopicError,
    UnansweredError,
    UnconfirmedError,
    PlanError,
    StoppedError,
    TakenOverError,
    DraftError,
    NotMendableError,
)


def error_classes():
    """All that the product defines, and of the client's, which are for engines, those that commands meet."""
    found = {kind.__name__: kind for kind in MET_BY_COMMANDS}
    for package in (gateway, schemas):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__") or module.name.startswith("gateway.client"):
                continue
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.name:
                    found[value.__name__] = value
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


def drawn():
    """The codes of the drawing, by error; None where an error never leaves the process."""
    codes, code = {}, None
    for line in exits.__doc__.splitlines():
        if branch := re.match(r"[├└]─ (?:exit (\d)|never)", line):
            code = branch[1] and int(branch[1])
        elif error := re.match(r".  [├└]─ (\w+)", line):
            codes[error[1]] = code
    return codes


def made(kind):
    """An error of the class, without its own ways to be made."""
    error = kind.__new__(kind)
    Exception.__init__(error, "what happened")
    return error


def test_every_error_of_the_product_is_drawn_and_no_other():
    assert drawn().keys() == {*error_classes(), "aiokafka"}


@pytest.mark.parametrize("name", sorted(set(drawn()) - {"aiokafka", "EmbeddedMissingError"}))
def test_each_error_ends_the_process_with_the_code_that_is_drawn(name):
    told = exits.explain(made(error_classes()[name]))
    assert (told and told[0]) == drawn()[name]
    assert told is None or "what happened" in told[1]


def test_an_error_in_a_task_group_ends_as_it_would_alone():
    alone = aiokafka.errors.KafkaError("no")
    assert exits.explain(ExceptionGroup("", [ExceptionGroup("", [alone])])) == (3, "Kafka: KafkaError: no")
    assert exits.explain(RuntimeError("a bug")) is None
