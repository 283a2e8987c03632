"""The edge's settings: they need no venue and no keys, and what is wrong with them is told by its path."""

import pytest

from gateway.settings.checks import exposed_secrets, secret_texts
from gateway.settings.file import SettingsError, load_settings

TOKEN = '[edge.tokens.ops]\ntoken_file = "token"\naccounts = ["desk-*"]\nverbs = ["read"]\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "token").write_text("t0ken-of-ops\n")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "same").write_text("t0ken-of-ops")
    (tmp_path / "spaces").write_text("two words")
    return tmp_path


def load(folder, text, **options):
    (folder / "edge.toml").write_text(text)
    return load_settings(folder / "edge.toml", options.pop("environ", {}), with_accounts=False, with_edge=True)


def refusal(folder, text):
    with pytest.raises(SettingsError) as refused:
        load(folder, text)
    return str(refused.value)


def test_an_edge_needs_no_venue_and_no_keys(folder):
    settings = load(folder, TOKEN)
    assert settings.edge.tokens["ops"].verbs == ("read",)
    assert secret_texts(settings, folder) == ["t0ken-of-ops"]
    assert exposed_secrets(settings, folder) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "edge.tokens: there are none"),
        (TOKEN.replace('"token"', '"elsewhere"'), "edge.tokens.ops.token_file: expected the name of a file"),
        (TOKEN.replace('"token"', '"spaces"'), "edge.tokens.ops.token_file: the file must hold one token"),
        (TOKEN.replace("token_file", "token"), "edge.tokens.ops.token: secrets are not settings"),
        (TOKEN.replace('accounts = ["desk-*"]\n', ""), "edge.tokens.ops.accounts: missing; say which"),
        (TOKEN.replace("desk-*", "desk *"), "edge.tokens.ops.accounts: expected names of accounts, or patterns"),
        (TOKEN.replace('["read"]', '["write"]'), "edge.tokens.ops.verbs: "),
        (TOKEN + TOKEN.replace("ops", "other").replace('"token"', '"same"'), "holds the token of edge.tokens.ops too"),
        (f'[edge]\nlisten = "here"\n{TOKEN}', "edge.listen: expected"),
        (f'[edge]\norigins = ["https://desk.example/path"]\n{TOKEN}', "edge.origins: expected"),
        (f'[edge]\norigins = ["*"]\n{TOKEN}', "edge.origins: expected"),
        (f'[edge]\ntls_keyfile = "token"\n{TOKEN}', "edge.tls_certfile: missing"),
        (f'[edge]\ntls_certfile = "token"\n{TOKEN}', "edge.tls_certfile: expected a PEM file"),
    ],
)
def test_what_is_wrong_is_told_by_its_path_and_never_with_the_token(folder, text, says):
    told = refusal(folder, text)
    assert says in told
    assert "t0ken" not in told


def test_lists_come_from_the_environment_with_commas(folder):
    origins = "https://a.example, https://b.example"
    settings = load(folder, TOKEN, environ={"GATEWAY_EDGE__ORIGINS": origins})
    assert settings.edge.origins == ("https://a.example", "https://b.example")


def test_a_gateway_does_not_need_the_edges_files(folder):
    (folder / "token").unlink()
    (folder / "edge.toml").write_text(TOKEN)
    settings = load_settings(folder / "edge.toml", {}, with_accounts=False)
    assert exposed_secrets(settings, folder) == []
    assert secret_texts(settings, folder) == []
