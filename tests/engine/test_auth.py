"""Credentials: who is let in as whom, and who is not."""

import asyncio
import json
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine import tokens
from rivermouth.engine.auth import Auth, Principal
from rivermouth.errors import BadRequest, Conflict, NotFound, Unauthenticated
from tests.engine.world import NOW, SECRET, World, within

ALL = [
    ("knowbase", "token"),
    ("ares", "key"),
    ("ares", "jwt"),
    ("wisqu", "jwt"),
    ("session", "jwt"),
    ("smarttalk", "jwt"),
]
HOME = "127.0.0.1"


async def reason(auth: Auth, system: str, schemes: tuple[str, ...], authorization: str | None) -> str:
    """Why that header is not let in; `in` where it is."""
    try:
        await auth.authenticate(system, schemes, authorization, HOME)
    except Unauthenticated as error:
        return error.reason
    return "in"


@pytest.mark.parametrize(("system", "kind"), ALL)
def test_a_made_credential_lets_its_user_in_and_nothing_stored_is_the_secret(
    tmp_path: Path, system: str, kind: str
) -> None:
    async def story(world: World) -> tuple[str, Principal]:
        secret, credential = await world.auth.create(system, kind, "Ann", "pro")
        found = await world.auth.authenticate(system, (kind,), f"bearer  {secret}", HOME)
        assert found.credential == credential.id
        return secret, found

    secret, principal = within(tmp_path, story)

    assert principal.owners == (principal.id,)
    assert (principal.system, principal.kind, principal.name, principal.tier) == (system, kind, "Ann", "pro")
    assert secret.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_credentials_look_as_the_contracts_say(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        return [(await world.auth.create(system, kind, "ann"))[0] for system, kind in ALL]

    token, key, access, *_ = within(tmp_path, story)
    claims = jwt.decode(access, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})

    assert (token[:3], len(token)) == ("kb_", 46)
    assert (key[:5], len(key)) == ("ares_", 69)
    assert int(key[5:], 16) > 0
    assert {"sub", "email", "exp", "iat", "type", "jti", "sys"} == set(claims)
    assert (claims["sys"], claims["type"], claims["iat"]) == ("ares", "access", int(NOW))


@pytest.mark.parametrize(
    ("system", "kind"), [("knowbase", "jwt"), ("ares", "token"), ("smarttalk", "key"), ("openai", "key"), ("ares", "")]
)
def test_what_no_system_takes_is_refused_with_what_is_possible(tmp_path: Path, system: str, kind: str) -> None:
    async def story(world: World) -> None:
        await world.auth.create(system, kind, "ann")

    with pytest.raises(BadRequest, match=r"it takes: |there are: "):
        within(tmp_path, story)


def test_a_credential_of_another_system_or_kind_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> set[str]:
        said = set()
        for system, kind in ALL:
            secret, _ = await world.auth.create(system, kind, "ann")
            for other, another in ALL:
                if (other, another) != (system, kind):
                    said.add(await reason(world.auth, other, (another,), f"Bearer {secret}"))
        return said

    # Where ares takes keys, what does not even begin like one is malformed: its contract has words for that.
    assert within(tmp_path, story) == {"invalid", "malformed"}


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (None, "missing"),
        ("", "missing"),
        ("  ", "missing"),
        ("Bearer", "malformed"),
        ("Basic YTpi", "malformed"),
        ("Bearer abc", "malformed"),
        ("Bearer a.b.c", "malformed"),
        ("Bearer e30.e30", "malformed"),
        ("Bearer e30.e30.", "invalid"),
        ("Bearer e30.e30.e30", "invalid"),
        ("Bearer e30.W10.e30", "malformed"),
        ("Bearer é.é.é", "malformed"),
        ("Bearer kb_short", "malformed"),
    ],
)
def test_a_header_that_lets_nobody_in_says_why(tmp_path: Path, authorization: str | None, expected: str) -> None:
    said = within(tmp_path, lambda world: reason(world.auth, "session", ("jwt",), authorization))

    assert said == expected


def test_ares_speaks_of_its_keys_in_its_own_words(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        said = []
        for header in (None, "Bearer kb_x", "Bearer abc", "Bearer ares_x", "Bearer ares_" + "0" * 64):
            with pytest.raises(Unauthenticated) as caught:
                await world.auth.authenticate("ares", ("key",), header, HOME)
            said.append(caught.value.message)
        return said

    form = "Invalid API key format. Must start with ares_"
    assert within(tmp_path, story) == ["Missing Authorization header", form, form, "Invalid API key", "Invalid API key"]


@pytest.mark.parametrize(("system", "kind"), ALL)
def test_an_expired_or_revoked_credential_lets_nobody_in(tmp_path: Path, system: str, kind: str) -> None:
    async def story(world: World) -> list[str]:
        secret, _ = await world.auth.create(system, kind, "ann", expires=NOW + 100)
        other, _ = await world.auth.create(system, kind, "ann")
        said = [await reason(world.auth, system, (kind,), f"Bearer {secret}")]
        await world.auth.revoke(other)
        said.append(await reason(world.auth, system, (kind,), f"Bearer {other}"))
        world.clock.at += 161
        said.append(await reason(world.auth, system, (kind,), f"Bearer {secret}"))
        return said

    assert within(tmp_path, story) == ["in", "revoked", "expired"]


def test_only_ares_allows_for_clocks_that_differ(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        made = {s: (await world.auth.create(s, "jwt", "ann", expires=NOW + 100))[0] for s in ("ares", "wisqu")}
        world.clock.at += 130
        return [await reason(world.auth, system, ("jwt",), f"Bearer {secret}") for system, secret in made.items()]

    assert within(tmp_path, story) == ["in", "expired"]


@pytest.mark.parametrize(
    "changes", [{"sys": "wisqu"}, {"type": "refresh"}, {"sub": 1}, {"sub": "another"}, {"exp": "soon"}, {"jti": None}]
)
def test_signed_claims_that_do_not_fit_let_nobody_in(tmp_path: Path, changes: dict[str, object]) -> None:
    async def story(world: World) -> str:
        secret, _ = await world.auth.create("ares", "jwt", "ann")
        claims = jwt.decode(secret, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        return await reason(world.auth, "ares", ("jwt",), f"Bearer {encoded(claims | changes, 'HS256', SECRET)}")

    assert within(tmp_path, story) in {"invalid", "revoked"}


@pytest.mark.parametrize(("algorithm", "key"), [("none", ""), ("HS512", SECRET * 2), ("HS256", SECRET + "!")])
def test_no_other_algorithm_and_no_other_secret_signs(tmp_path: Path, algorithm: str, key: str) -> None:
    async def story(world: World) -> str:
        secret, _ = await world.auth.create("ares", "jwt", "ann")
        claims = jwt.decode(secret, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        return await reason(world.auth, "ares", ("jwt",), f"Bearer {encoded(claims, algorithm, key)}")

    assert within(tmp_path, story) == "invalid"


def encoded(claims: dict[str, object], algorithm: str, key: str) -> str:
    """A JWT with those claims, even wrong ones."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm=algorithm)


def test_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        secret, _ = await world.auth.create("ares", "key", "ann")
        other = secret[:12] + ("0" * 57 if secret[12:] != "0" * 57 else "1" * 57)
        return [await reason(world.auth, "ares", ("key",), f"Bearer {one}") for one in (secret, other)]

    assert within(tmp_path, story) == ["in", "invalid"]


def test_credentials_are_listed_without_logins_and_revoked_by_a_unique_beginning(tmp_path: Path) -> None:
    async def story(world: World) -> list[bool]:
        secret, _ = await world.auth.create("knowbase", "token", "ann")
        await world.auth.create("ares", "key", "ann")
        ann = await world.auth.register("session", "ann", "secret", "Ann", None)
        await world.auth.pair(ann)
        await world.auth.revoke(secret[:6])
        for wrong, error in (("", NotFound), ("nothing", NotFound)):
            with pytest.raises(error):
                await world.auth.revoke(wrong)
        return sorted(holder.credential.revoked is None for holder in await world.auth.list())

    assert within(tmp_path, story) == [False, True]


def test_a_user_made_twice_is_one_user_and_cannot_sign_in_without_a_password(tmp_path: Path) -> None:
    async def story(world: World) -> set[str]:
        users = {(await world.auth.create("ares", "key", name))[1].user_id for name in ("ann@x.org", " Ann@X.org ")}
        with pytest.raises(Conflict):
            await world.auth.register("ares", "ann@x.org", "password", "Ann", "ann@x.org")
        with pytest.raises(Unauthenticated):
            await world.auth.login("ares", "ann@x.org", "")
        return users

    assert len(within(tmp_path, story)) == 1


def test_users_made_at_once_are_one_user(tmp_path: Path) -> None:
    async def story(world: World) -> set[str]:
        made = await asyncio.gather(*(world.auth.create("ares", "key", "ann") for _ in range(5)))
        return {credential.user_id for _, credential in made}

    assert len(within(tmp_path, story)) == 1


def test_peek_reads_the_system_of_every_credential_without_trusting_it(tmp_path: Path) -> None:
    async def story(world: World) -> list[str | None]:
        return [world.auth.peek(f"Bearer {(await world.auth.create(system, kind, 'a'))[0]}") for system, kind in ALL]

    assert within(tmp_path, story) == [system for system, _ in ALL]
    assert tokens.peek(f"Bearer {encoded({'sys': 'wisqu'}, 'HS256', 'x' * 32)}") == "wisqu"
    assert tokens.peek(f"Bearer {encoded({'sys': 'nobody'}, 'HS256', 'x' * 32)}") is None


@given(st.one_of(st.none(), st.text(), st.text().map("Bearer {}".format), st.text().map("Bearer a.{}.c".format)))
def test_peek_and_read_survive_any_header(authorization: str | None) -> None:
    assert tokens.peek(authorization) in {None, "knowbase", "ares"}
    with pytest.raises(Unauthenticated):
        tokens.read(authorization or "", SECRET)


def test_json_nested_deeper_than_the_stack_is_no_token() -> None:
    deep = tokens.seal('{"sys":' + "[" * 100_000, SECRET).partition(".")[0]

    assert tokens.peek(f"Bearer e30.{deep}.e30") is None
    for token in (f"e30.{deep}.e30", f"{deep}.e30.e30"):
        with pytest.raises(Unauthenticated):
            tokens.read(token, SECRET)


def test_an_anonymous_caller_keeps_what_they_made_before_their_cookie_and_after_moving(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[Principal, ...]:
        first = world.auth.anonymous("session", "10.0.0.1", None)
        cookie = world.auth.anonymous_cookie("10.0.0.1")
        return first, *(world.auth.anonymous("session", at, cookie) for at in ("10.0.0.1", "2001:db8::1"))

    first, second, moved = within(tmp_path, story)

    assert first.owners == ("addr:10.0.0.1",)
    assert second.owners == moved.owners
    assert second.owners[1] == "addr:10.0.0.1"
    assert second.id.startswith("anon:")
    assert (moved.address, moved.kind, moved.tier, moved.credential) == ("2001:db8::1", "anonymous", "anonymous", None)


@given(st.one_of(st.text(), st.text().map(lambda text: f"{text}.{text}")))
def test_a_forged_cookie_counts_as_none(cookie: str) -> None:
    assert tokens.unseal(cookie, SECRET) is None


def test_a_cookie_with_another_address_in_it_is_forged() -> None:
    good, other = tokens.seal("id 10.0.0.1", SECRET), tokens.seal("id 10.0.0.2", SECRET)
    body, signature = other.partition(".")[0], good.partition(".")[2]

    assert tokens.unseal(good, SECRET) == "id 10.0.0.1"
    assert tokens.unseal(f"{body}.{signature}", SECRET) is None
    assert tokens.unseal(good, SECRET + "!") is None
