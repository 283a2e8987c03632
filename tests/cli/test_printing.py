"""What commands print is data: no foreign text moves a cursor or changes a terminal."""

import json

from gateway.cli.printing import print_encoded, print_json


def test_json_keeps_foreign_text_and_escapes_what_would_change_a_terminal(capsys):
    hostile = "a\x1b[2J\x9b31m\x7f\u202e\u2066é語"
    print_json({"message": hostile})
    said = capsys.readouterr().out
    assert json.loads(said) == {"message": hostile}
    assert said.removesuffix("\n").isprintable()


def test_json_that_is_written_already_is_escaped_too(capsys):
    print_encoded('{"message":"a\x9b31m\\\\\x85"}'.encode())
    said = capsys.readouterr().out
    assert json.loads(said) == {"message": "a\x9b31m\\\x85"}
    assert said.removesuffix("\n").isprintable()
