"""Accounts: registering, signing in, trading refresh tokens in, signing out; and the server's own secrets."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rivermouth.clock import SystemClock
from rivermouth.engine.auth import Tokens
from rivermouth.engine.passwords import AT_ONCE, WAITING, Passwords
from rivermouth.engine.secrets import load_secret, signing_secret
from rivermouth.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated, Unavailable
from rivermouth.settings import Auth as AuthSettings
from rivermouth.settings import Settings
from rivermouth.stores.rows import SqliteRows
from tests.engine.world import World, within

HOME = "127.0.0.1"


async def enter(world: World, system: str, access: str) -> str:
    """The name of whoever `access` lets in, or why it does not."""
    try:
        return (await world.auth.authenticate(system, ("jwt",), f"Bearer {access}", HOME)).name
    except Unauthenticated as error:
        return error.reason


async def signed_in(world: World, system: str) -> Tokens:
    """A fresh account, signed in."""
    user = await world.auth.register(system, "ann@x.org", "correct horse", "Ann", "ann@x.org")
    return await world.auth.pair(user)


@pytest.mark.parametrize(
    ("system", "life", "has_refresh"), [("ares", 900, True), ("wisqu", 1800, True), ("session", 86400, False)]
)
def test_who_registers_can_sign_in_for_as_long_as_the_contract_says(
    tmp_path: Path, system: str, life: int, has_refresh: bool
) -> None:
    async def story(world: World) -> tuple[Tokens, list[str]]:
        await world.auth.register(system, "ann@x.org", "correct horse", "Ann", "ann@x.org")
        pair = await world.auth.pair(await world.auth.login(system, "ann@x.org", "correct horse"))
        said = [await enter(world, system, pair.access)]
        world.clock.at += life + (60 if system == "ares" else 0)
        return pair, [*said, await enter(world, system, pair.access)]

    pair, said = within(tmp_path, story)

    assert said == ["Ann", "expired"]
    assert pair.expires_in == life
    assert (pair.refresh is not None) is has_refresh
    assert pair.user.tier == "free"


def test_a_wrong_password_and_an_unknown_login_read_alike(tmp_path: Path) -> None:
    async def story(world: World) -> set[tuple[str, str]]:
        await signed_in(world, "wisqu")
        said = set()
        for login, password in (("ann@x.org", "wrong"), ("ben@x.org", "correct horse"), ("", "")):
            with pytest.raises(Unauthenticated) as caught:
                await world.auth.login("wisqu", login, password)
            said.add((caught.value.message, caught.value.reason))
        return said

    assert len(within(tmp_path, story)) == 1


def test_a_login_is_taken_once_but_not_in_another_system(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await signed_in(world, "wisqu")
        await signed_in(world, "ares")
        with pytest.raises(Conflict):
            await world.auth.register("wisqu", "ANN@x.org", "another one", "Ann", "ANN@x.org")
        await world.auth.register("session", "ann", "secret", "ann", None)
        await world.auth.register("session", "Ann", "secret", "Ann", None)

    within(tmp_path, story)


def test_the_same_login_registered_at_once_is_made_once(tmp_path: Path) -> None:
    async def story(world: World) -> list[bool]:
        tries = (world.auth.register("session", "ann", "secret", "ann", None) for _ in range(5))
        return [isinstance(one, Conflict) for one in await asyncio.gather(*tries, return_exceptions=True)]

    assert sorted(within(tmp_path, story)) == [False, True, True, True, True]


def test_registration_can_be_closed_and_not_every_system_has_accounts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        with pytest.raises(Forbidden):
            await world.auth.register("ares", "a", "b", "c", None)
        with pytest.raises(NotFound):
            await world.auth.login("smarttalk", "a", "b")

    within(tmp_path, story, AuthSettings(registration=False))


def test_a_refresh_token_gives_a_new_pair_once_and_its_second_use_ends_everything(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        first = await signed_in(world, "ares")
        assert first.refresh is not None
        second = await world.auth.refresh("ares", first.refresh)
        said = [await enter(world, "ares", one.access) for one in (first, second)]
        for stale in (first.refresh, second.refresh, first.refresh):
            with pytest.raises(Unauthenticated) as caught:
                await world.auth.refresh("ares", stale or "")
            said.append(caught.value.reason)
        return [*said, *[await enter(world, "ares", one.access) for one in (first, second)]]

    assert within(tmp_path, story) == ["Ann", "Ann", *["revoked"] * 5]


def test_a_chain_of_refreshes_lasts_longer_than_any_one_token(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[str, int]:
        pair = await signed_in(world, "wisqu")
        for _ in range(4):
            world.clock.at += 500_000
            pair = await world.auth.refresh("wisqu", pair.refresh or "")
        kept = len(await world.rows.all_credentials())
        said = await enter(world, "wisqu", pair.access)
        world.clock.at += 604_800
        with pytest.raises(Unauthenticated) as caught:
            await world.auth.refresh("wisqu", pair.refresh or "")
        return f"{said} {caught.value.reason}", kept

    assert within(tmp_path, story) == ("Ann expired", 2)


def test_tokens_are_taken_only_for_what_they_are_and_where_they_belong(tmp_path: Path) -> None:
    async def story(world: World) -> set[str]:
        ares, said = await signed_in(world, "ares"), set()
        for system, token in (("ares", ares.access), ("wisqu", ares.refresh or ""), ("ares", "x.y.z"), ("ares", "kb_")):
            with pytest.raises(Unauthenticated) as caught:
                await world.auth.refresh(system, token)
            said.add(caught.value.reason)
        return {*said, await enter(world, "ares", ares.refresh or "")}

    assert within(tmp_path, story) == {"invalid", "malformed"}


@pytest.mark.parametrize("by", ["token", "principal"])
def test_signing_out_ends_that_login_and_no_other(tmp_path: Path, by: str) -> None:
    async def story(world: World) -> list[str]:
        here = await signed_in(world, "ares")
        there = await world.auth.pair(here.user)
        principal = await world.auth.authenticate("ares", ("jwt",), f"Bearer {here.access}", HOME)
        for _ in range(2):
            await world.auth.logout("ares", here.refresh or "" if by == "token" else principal)
        return [await enter(world, "ares", one.access) for one in (here, there)]

    assert within(tmp_path, story) == ["revoked", "Ann"]


def test_signing_out_never_revokes_an_api_key(tmp_path: Path) -> None:
    async def story(world: World) -> str:
        key, _ = await world.auth.create("ares", "key", "ann")
        principal = await world.auth.authenticate("ares", ("key",), f"Bearer {key}", HOME)
        await world.auth.logout("ares", principal)
        return (await world.auth.authenticate("ares", ("key",), f"Bearer {key}", HOME)).name

    assert within(tmp_path, story) == "ann"


def test_a_session_login_can_be_revoked_too(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        pair = await signed_in(world, "session")
        said = [await enter(world, "session", pair.access)]
        await world.auth.revoke(pair.access)
        return [*said, await enter(world, "session", pair.access)]

    assert within(tmp_path, story) == ["Ann", "revoked"]


def test_real_argon2id_hashes_and_a_flood_of_sign_ins_is_turned_away() -> None:
    async def story() -> tuple[str, list[bool], int]:
        passwords = Passwords()
        stored = await passwords.hash("correct horse")
        matched = [await passwords.verify(stored, word) for word in ("correct horse", "wrong")]
        passwords._busy = AT_ONCE + WAITING
        with pytest.raises(Unavailable):
            await passwords.hash("one too many")
        return stored, matched, passwords._busy

    stored, matched, busy = asyncio.run(story())

    assert stored.startswith("$argon2id$")
    assert matched == [True, False]
    assert busy == AT_ONCE + WAITING


def test_a_secret_is_made_once_even_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: load_secret(tmp_path, "jwt", None), range(32)))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}

    assert len(found) == 1
    assert len(found.pop()) >= 32
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_given_secret_must_be_long_enough(tmp_path: Path) -> None:
    assert load_secret(tmp_path, "jwt", "x" * 32) == "x" * 32
    assert not (tmp_path / "secrets").exists()
    with pytest.raises(BadRequest, match="at least 32") as caught:
        load_secret(tmp_path, "jwt", "y" * 31)
    assert "yyy" not in caught.value.message


def test_the_secret_is_the_given_one_else_that_of_the_shared_database_else_that_of_the_folder(tmp_path: Path) -> None:
    shared = {"data_dir": tmp_path, "database_url": "postgresql://ann@127.0.0.1/chat"}
    asked = {
        "given": {"auth": {"jwt_secret": "g" * 40}, **shared},
        "shared": shared,
        "own": {"data_dir": tmp_path},
    }

    async def story() -> dict[str, str]:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await rows.secret("jwt", "s" * 40)
        found = {name: await signing_secret(Settings.model_validate(those), rows) for name, those in asked.items()}
        await rows.close()
        return found

    found = asyncio.run(story())

    assert found["given"] == "g" * 40
    assert found["shared"] == "s" * 40
    assert found["own"] == (tmp_path / "secrets" / "jwt").read_text("ascii")
