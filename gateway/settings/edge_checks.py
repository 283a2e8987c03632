"""What the types of the edge's settings cannot say: that its files are there, that no two tokens are the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.settings.addresses import parse_listen, urlsplit_or_none
from gateway.settings.certificates import CertificateError, serving
from gateway.settings.checks import file_findings
from gateway.settings.findings import Finding
from gateway.settings.secret_files import SecretFileError, read_token
from gateway.settings.tree import EdgeSettings


def check_edge(edge: EdgeSettings, base_dir: Path) -> Iterator[Finding]:
    """Everything wrong with the edge's settings that reaches outside them."""
    try:
        parse_listen(edge.listen)
    except ValueError as error:
        yield ("edge", "listen"), str(error)
    for origin in edge.origins:
        split = urlsplit_or_none(origin)
        if (
            split is None
            or split[0] not in {"http", "https"}
            or re.search(r"[@?#*\s]", origin)
            or urlsplit(origin).path
        ):
            yield ("edge", "origins"), 'expected origins as browsers send them: "https://host" or "https://host:port"'
    yield from _certificate(edge, base_dir)
    if not edge.tokens:
        yield ("edge", "tokens"), "there are none; add [edge.tokens.<name>] with token_file, accounts and verbs"
    yield from _tokens(edge, base_dir)


def _certificate(edge: EdgeSettings, base_dir: Path) -> Iterator[Finding]:
    if edge.tls_keyfile and not edge.tls_certfile:
        yield ("edge", "tls_certfile"), "missing; tls_keyfile is the key of a certificate"
    files = {name: getattr(edge, name) for name in ("tls_certfile", "tls_keyfile")}
    unusable = [
        finding for name, file in files.items() if file for finding in file_findings(("edge", name), file, base_dir)
    ]
    yield from unusable
    if not unusable and edge.tls_certfile:
        try:
            serving(edge, base_dir)
        except CertificateError as error:
            yield ("edge", "tls_certfile"), error.remedy


def _tokens(edge: EdgeSettings, base_dir: Path) -> Iterator[Finding]:
    holders: dict[str, str] = {}
    for name, token in edge.tokens.items():
        place = ("edge", "tokens", name)
        for pattern in token.accounts:
            if not re.fullmatch(r"[A-Za-z0-9._*?\[\]!-]{1,64}", pattern):
                yield (*place, "accounts"), 'expected names of accounts, or patterns with * and ?: "desk-*"'
        unusable = list(file_findings((*place, "token_file"), token.token_file, base_dir))
        yield from unusable
        if unusable:
            continue
        try:
            text = read_token("token_file", base_dir / token.token_file)
        except SecretFileError as error:
            yield (*place, "token_file"), error.problem
            continue
        if text in holders:
            yield (
                (*place, "token_file"),
                f"holds the token of edge.tokens.{holders[text]} too; every name needs its own",
            )
        holders[text] = name
