"""Tokens, tickets and logins: what proves somebody, and everything that must not."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from rtlab.server.auth.access_token_signing_and_checks import LEEWAY
from rtlab.server.auth.principal import BadCredentials
from rtlab.server.auth.request_authentication import Authority, Pair

NOW = 1_800_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(clock: Clock) -> Authority:
    return Authority("secret", clock=clock)


def log_in(authority: Authority, user: str = "ada", password: str = "analytical engine") -> Pair:
    return authority.log_in(user, password)


def code_of(authority: Authority, token: str) -> str:
    with pytest.raises(BadCredentials) as refused:
        authority.check(token)
    assert token not in str(refused.value) or not token
    return refused.value.code


def changed(authority: Authority, **claims: Any) -> str:
    """A token signed with the right key; None leaves a claim out."""
    good = jwt.decode(log_in(authority).access_token, options={"verify_signature": False})
    kept = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(kept, authority.access._key(1), "HS256", headers={"kid": "k1"})


def test_a_login_gives_a_token_that_says_who_it_is(authority: Authority) -> None:
    pair = log_in(authority)
    principal = authority.check(pair.access_token)
    assert (principal.user, principal.roles) == ("ada", ("staff",))
    assert pair.access_token not in repr(pair)
    assert pair.refresh_token not in repr(pair)


@pytest.mark.parametrize(("user", "password"), [("ada", "wrong"), ("nobody", "wrong"), ("ada", "")])
def test_a_wrong_login_says_not_what_was_wrong(authority: Authority, user: str, password: str) -> None:
    with pytest.raises(BadCredentials, match="name or the password is wrong"):
        log_in(authority, user, password)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"}, {"aud": None}, {"iss": "another"}, {"exp": None}, {"nbf": None}, {"jti": None},
        {"sub": None}, {"nbf": NOW + 10}, {"iat": NOW + 10}, {"exp": "soon"}, {"exp": float("inf")},
        {"sub": 5},
    ],
)  # fmt: skip
def test_wrong_claims_prove_nothing(authority: Authority, claims: dict[str, Any]) -> None:
    assert code_of(authority, changed(authority, **claims)) == "bad_token"


def test_tokens_of_others_prove_nothing(authority: Authority, clock: Clock) -> None:
    good = log_in(authority).access_token
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).rstrip(b"=").decode()
    signed = jwt.decode(good, options={"verify_signature": False})
    for kid in ("k2", "k0", "k01", "../k1", "k9999999999", "", "1"):
        other = jwt.encode(signed, authority.access._key(1), "HS256", headers={"kid": kid})
        assert code_of(authority, other) == "bad_token"
    stranger = Authority("another secret", clock=clock)
    for token in (
        f"{none}.{body}.", f"{none}.{body}.{signature}", f"{head}.{body}.", good[:-2], good + "A", "", "a.b",
        "\udcff", "x" * 10_000, f"{head}.{body}.{signature[::-1]}", log_in(stranger).access_token,
    ):  # fmt: skip
        assert code_of(authority, token) == "bad_token"


def test_time_is_told_within_the_leeway(authority: Authority, clock: Clock) -> None:
    token = log_in(authority).access_token
    clock.now += 300 + LEEWAY - 0.1
    assert authority.check(token).user == "ada"
    clock.now += 0.2
    assert code_of(authority, token) == "token_expired"


def test_after_a_rotation_the_old_key_counts_until_its_tokens_are_gone(
    authority: Authority, clock: Clock
) -> None:
    old = log_in(authority).access_token
    assert authority.access.rotate() == "k2"
    new = log_in(authority).access_token
    assert jwt.get_unverified_header(new)["kid"] == "k2"
    assert authority.check(old).user == authority.check(new).user
    clock.now += 302
    late = jwt.encode(
        {**jwt.decode(new, options={"verify_signature": False}), "exp": clock.now + 99},
        authority.access._key(1),
        "HS256",
        headers={"kid": "k1"},
    )
    assert code_of(authority, late) == "bad_token"


def test_a_refresh_token_is_used_once_and_a_repeat_ends_the_login(authority: Authority) -> None:
    first = log_in(authority)
    second = authority.refresh(first.refresh_token)
    assert authority.check(second.access_token).user == "ada"
    other = log_in(authority, "bob", "builder")
    with pytest.raises(BadCredentials) as refused:
        authority.refresh(first.refresh_token)
    assert refused.value.code == "token_reused"
    # The thief's and the owner's: both are worth nothing now. Another login is not touched.
    assert code_of(authority, second.access_token) == "revoked"
    with pytest.raises(BadCredentials, match="revoked"):
        authority.refresh(second.refresh_token)
    assert authority.check(authority.refresh(other.refresh_token).access_token).user == "bob"


def test_secrets_are_kept_as_hashes_only(authority: Authority) -> None:
    pair = log_in(authority)
    ticket = authority.tickets.issue(authority.check(pair.access_token), None)
    kept = repr([vars(authority.refresh_tokens), vars(authority.tickets), vars(authority.users)])
    for secret in (pair.refresh_token, ticket, "analytical engine"):
        assert secret not in kept


def test_a_ticket_is_good_once_soon_and_from_the_same_address(authority: Authority, clock: Clock) -> None:
    principal = authority.check(log_in(authority).access_token)
    ticket = authority.tickets.issue(principal, "127.0.0.1")
    assert authority.identify({}, {"ticket": ticket}, "127.0.0.1") == principal
    elsewhere, late = (authority.tickets.issue(principal, "127.0.0.1") for _ in range(2))
    for again, address in ((ticket, "127.0.0.1"), (elsewhere, "127.0.0.2"), ("none", "127.0.0.1")):
        with pytest.raises(BadCredentials, match="used once"):
            authority.identify({}, {"ticket": again}, address)
    clock.now += 10
    with pytest.raises(BadCredentials, match="used once"):
        authority.identify({}, {"ticket": late}, "127.0.0.1")


def test_a_token_in_the_url_counts_in_the_naive_setting_only(authority: Authority, clock: Clock) -> None:
    token = log_in(authority).access_token
    with pytest.raises(BadCredentials, match="expected Authorization"):
        authority.identify({}, {"token": token}, None)
    naive = Authority("secret", "naive", clock=clock)
    assert naive.identify({}, {"token": token}, None).user == "ada"
    forged = jwt.encode({"sub": "ada", "roles": ["staff"]}, "", "none")
    assert naive.check(forged).user == "ada"
    assert code_of(authority, forged) == "bad_token"


def test_guessing_is_slowed_down_for_each_name(authority: Authority) -> None:
    waits = [authority.may_guess("ada") for _ in range(21)]
    assert waits[:20] == [0.0] * 20
    assert waits[20] > 0
    assert authority.may_guess("bob") == 0.0
