"""What is taken from the policy topic and what is refused, the same by every replica."""

import pytest
from msgspec.structs import replace

from gateway.policy.board import FRESH, UNREADABLE, Board
from gateway.policy.signatures import operator_of, sign
from gateway.settings.operators import OperatorKeyError, read_private_key, read_public_key
from schemas import Scope, Timestamp
from schemas.policy import encode_policy_record
from tests.kit.clocks import NOON
from tests.policy.desk import KEYS, PUBLIC, after, applied, freeze, put, refused, signed

OKX = Scope(venue="okx")
TIGHT, LOOSE = "[rules.a]\nmaximum = 5\n", "[rules.a]\nmaximum = 50\n"


def stopped(board):
    return [stop.name for stop in board.ruling.stops]


def test_without_operators_anybody_freezes_and_thaws():
    board = Board()
    assert put(board, freeze()) is None
    assert stopped(board) == ["freeze:everything"]
    assert put(board, after(board, freeze("open"))) is None
    assert stopped(board) == []


def test_scopes_are_stopped_and_opened_each_for_itself():
    board = Board()
    put(board, freeze(scope=OKX))
    put(board, freeze("lower_only"))
    put(board, after(board, freeze("open")))
    assert stopped(board) == ["freeze:venue=okx"]


def test_who_did_not_know_of_the_newer_freeze_does_not_lift_it():
    board = Board()
    put(board, freeze())
    thaw = after(board, freeze("open"))
    put(board, freeze(reason="a second one"))
    assert "holds now" in refused(board, thaw)
    assert stopped(board) == ["freeze:everything"]


def test_one_signature_tightens_and_none_does_not():
    board = Board(PUBLIC)
    assert "needs 1" in refused(board, freeze())
    assert stopped(board) == [UNREADABLE]  # what held before is not known
    assert put(board, signed(freeze(), "kim")) is None
    assert stopped(board) == ["freeze:everything"]


def frozen_board():
    board = Board(PUBLIC)
    put(board, signed(freeze(), "kim"))
    return board


def test_two_signatures_loosen():
    board = frozen_board()
    assert put(board, signed(after(board, freeze("open")), "kim", "lee")) is None
    assert stopped(board) == []


def test_lower_only_after_frozen_is_loosening_too():
    board = frozen_board()
    assert "needs 2" in refused(board, signed(after(board, freeze("lower_only")), "kim"))
    assert put(board, signed(after(board, freeze("lower_only")), "kim", "sam")) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda thaw: signed(thaw, "kim"), "signed by kim; it needs 2"),
        (lambda thaw: thaw, "signed by nobody; it needs 2"),
        (lambda thaw: sign(signed(thaw, "kim"), "lee", KEYS["kim"]), "the signature of lee is not of this record"),
        (lambda thaw: sign(signed(thaw, "kim"), "eve", KEYS["sam"]), "the settings name no operator 'eve'"),
        (lambda thaw: replace(signed(thaw, "kim", "lee"), reason="other"), "signature of kim is not of this record"),
        (lambda thaw: replace(signed(thaw, "kim", "lee"), replaces="x"), "made before that, or replayed"),
        (
            lambda thaw: replace(thaw, signatures=signed(replace(thaw, scope=OKX), "kim", "lee").signatures),
            "is not of this record",
        ),
        (
            lambda thaw: signed(replace(thaw, at=Timestamp.from_epoch(NOON - FRESH - 60)), "kim", "lee"),
            "written more than 900 s from then",
        ),
    ],
    ids=["one", "none", "wrong key", "unknown operator", "changed", "not for this freeze", "other scope", "stale"],
)
def test_a_loosening_that_two_did_not_sign_for_this_is_refused_and_said(spoil, said):
    board = frozen_board()
    objection = put(board, spoil(after(board, freeze("open"))))
    assert objection is not None
    assert said in objection
    assert stopped(board) == ["freeze:everything"]


def test_a_thaw_of_earlier_does_not_lift_a_later_freeze():
    board = frozen_board()
    thaw = signed(after(board, freeze("open")), "kim", "lee")
    assert put(board, thaw) is None
    put(board, signed(after(board, freeze()), "kim"))
    assert "replayed" in refused(board, thaw)
    assert stopped(board) == ["freeze:everything"]


def test_where_only_a_refused_record_is_left_of_a_key_everything_is_frozen_until_a_good_one_comes():
    board = frozen_board()
    forged = after(board, freeze("open"))
    late = Board(PUBLIC)
    assert "needs 2" in refused(late, signed(forged, "kim"))
    assert stopped(late) == [UNREADABLE]
    assert put(late, signed(forged, "kim", "lee")) is None
    assert stopped(late) == []


def test_a_tighter_policy_needs_one_and_a_looser_one_two():
    board = Board(PUBLIC)
    assert put(board, signed(applied(LOOSE), "kim")) is None
    assert put(board, signed(after(board, applied(TIGHT)), "kim")) is None
    looser = after(board, applied(LOOSE))
    assert "loosens a.maximum and is signed by kim" in refused(board, signed(looser, "kim"))
    assert board.ruling.policy.book.rules[0].maximum == 5
    assert put(board, signed(looser, "kim", "lee")) is None
    assert board.ruling.policy.book.rules[0].maximum == 50


def test_taking_all_rules_away_loosens():
    board = Board(PUBLIC)
    put(board, signed(applied(TIGHT), "kim"))
    assert "loosens a.maximum" in refused(board, signed(after(board, applied("")), "kim"))


def test_a_candidate_changes_nothing_and_goes_when_it_is_promoted():
    board = Board(PUBLIC)
    put(board, signed(applied(TIGHT), "kim"))
    assert put(board, signed(applied(LOOSE, "candidate"), "kim")) is None
    assert board.ruling.candidate.book.rules[0].maximum == 50
    assert board.ruling.policy.book.rules[0].maximum == 5
    assert put(board, signed(after(board, applied(LOOSE)), "kim", "lee")) is None
    assert board.ruling.candidate is None


@pytest.mark.parametrize("value", [b"garbage", b"{}", None, encode_policy_record(freeze(scope=OKX))])
def test_a_broken_record_never_replaces_a_good_one(value):
    board = Board()
    put(board, freeze("lower_only"))
    assert "not readable" in str(board.take("freeze:everything", value, NOON))
    assert stopped(board) == ["freeze:everything"]


@pytest.mark.parametrize("text", ["[rules.a]\nmaximum = -1\n", "not toml"])
def test_a_broken_file_never_replaces_a_good_one(text):
    board = Board()
    put(board, applied(TIGHT))
    assert "not readable" in refused(board, applied(text))
    assert "hash" in refused(board, replace(applied(LOOSE), hash="0" * 64))
    assert board.ruling.policy.book.rules[0].maximum == 5
    assert stopped(board) == []


def test_a_broken_policy_with_no_good_one_before_it_freezes_everything():
    board = Board()
    put(board, applied("not toml"))
    assert stopped(board) == [UNREADABLE]
    put(board, applied(TIGHT))
    assert stopped(board) == []


def test_keys_are_read_from_pem_files_and_known_by_their_bytes(tmp_path):
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - only here
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private, public = tmp_path / "kim.pem", tmp_path / "kim.pub.pem"
    private.write_bytes(KEYS["kim"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(PUBLIC["kim"].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert operator_of(read_private_key(private), {"kim": read_public_key(public)}) == "kim"
    assert operator_of(KEYS["lee"], PUBLIC | {"lee": PUBLIC["sam"]}) is None
    for wrong in (tmp_path / "none", public):
        with pytest.raises(OperatorKeyError, match="Ed25519"):
            read_private_key(wrong)
    with pytest.raises(OperatorKeyError, match="pubout"):
        read_public_key(private)
