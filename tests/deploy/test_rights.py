"""The table of rights is on paper as it is in code; a broker with an authorizer proves it in tests/kafka."""

from deploy.kafka import rights


def test_the_file_is_what_is_made_from_the_table_now():
    assert rights.FILE.read_text("utf-8") == rights.markdown(), "run `make schemas`"


def test_only_the_gateway_may_write_answers():
    for user in rights.users()[1:]:
        written = {right.name for right in user.rights if "Write" in right.operations and right.kind == "topic"}
        assert not written & {"leverage.events.v1", "leverage.state.v1", "leverage.commands.dlq.v1"}


def test_lines_for_kafka_acls_name_user_operation_resource_and_pattern():
    lines = list(rights.acls("desk"))
    ids = "--operation Write --transactional-id desk-leverage.commands.v1- --resource-pattern-type prefixed"
    assert f"--add --allow-principal User:leverage-gateway {ids}" in lines
    assert "--add --allow-principal User:leverage-gateway --operation Read --group desk" in lines
