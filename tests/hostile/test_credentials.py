"""Credentials that do not hold, each on every chat path and beside it."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from rivermouth.engine import tokens
from rivermouth.engine.credentials import secret_row
from tests.hostile.log import Log
from tests.hostile.places import FIRST, PLACES, SYSTEMS, Place, shaped
from tests.hostile.world import SECRET, World

PLACE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
KINDS = {"knowbase": ("token",), "ares": ("jwt", "key"), "wisqu": ("jwt",), "session": ("jwt",), "smarttalk": ("jwt",)}
FOREIGN = [(system, kind) for system, kinds in KINDS.items() for kind in kinds]
WORDS = {
    "missing": "Missing Authorization header",
    "malformed": "Invalid API key format. Must start with ares_",
    "invalid": "Invalid API key",
}


def part(value: bytes | dict[str, Any]) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def claims(system: str, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    user = str(uuid.uuid4())
    good = {"sub": user, "email": "e@x.y", "exp": now + 900, "iat": now, "type": "access", "jti": user, "sys": system}
    return good | more


def of(world: World, system: str) -> dict[str, Any]:
    """The claims of a JWT that holds."""
    found: dict[str, Any] = jwt.decode(world.credential(system, "jwt"), options={"verify_signature": False})
    return found


def signed(payload: Any, *, algorithm: str = "HS256", secret: str = SECRET, head: dict[str, Any] | None = None) -> str:
    return jwt.encode(payload, secret, algorithm=algorithm, headers=head)


def login(world: World, system: str) -> tuple[str, str | None]:
    """Access and refresh token of a fresh login."""
    auth = world.app.auth
    user = world.do(auth.user_named(system, f"{uuid.uuid4().hex}@example.org"))
    pair = world.do(auth.pair(user))
    return pair.access, pair.refresh


def refresh_token(world: World, system: str) -> str:
    """A good one, where the system has any."""
    refresh = login(world, system)[1] if system in ("ares", "wisqu") else None
    return refresh or signed(of(world, system) | {"type": "refresh"})


def another_payload(world: World, system: str) -> str:
    head, _, signature = world.credential(system, "jwt").split(".")
    return f"{head}.{part(of(world, system) | {'sub': 'root'})}.{signature}"


def revoked(world: World, system: str) -> str:
    secret = world.server.credential(system, "jwt", "mallory")
    world.do(world.app.auth.revoke(secret))
    return secret


def signed_out(world: World, system: str) -> str:
    if system == "smarttalk":
        return revoked(world, system)
    access, refresh = login(world, system)
    if refresh is None:
        world.do(world.app.auth.revoke(access))
    else:
        world.do(world.app.auth.logout(system, refresh))
    return access


FORGED: dict[str, Callable[[World, str], str]] = {
    "signed with another server's secret": lambda w, s: signed(of(w, s), secret="x" * 40),
    "signed with no secret": lambda w, s: f"{part({'alg': 'none'})}.{part(of(w, s))}.",
    "signed with None in capitals": lambda w, s: f"{part({'alg': 'NONE', 'typ': 'JWT'})}.{part(of(w, s))}.{part(b'x')}",
    "by HS512": lambda w, s: signed(of(w, s), algorithm="HS512"),
    "by HS384": lambda w, s: signed(of(w, s), algorithm="HS384"),
    "its algorithm a list": lambda w, s: f"{part({'alg': ['HS256']})}.{part(of(w, s))}.{part(b'x')}",
    "its algorithm missing": lambda w, s: f"{part({'typ': 'JWT'})}.{part(of(w, s))}.{part(b'x')}",
    "its key id an object": lambda w, s: f"{part({'alg': 'HS256', 'kid': {}})}.{part(of(w, s))}.{part(b'x')}",
    "its header critical": lambda w, s: signed(of(w, s), head={"crit": ["x"], "x": 1}),
    "its signature cut": lambda w, s: w.credential(s, "jwt")[:-3],
    "its signature empty": lambda w, s: w.credential(s, "jwt").rpartition(".")[0] + ".",
    "another user's payload": another_payload,
    "a refresh token": refresh_token,
    "a session nobody has": lambda w, s: signed(claims(s)),
    "a family nobody has": lambda w, s: signed(claims(s, fam="nobody")),
    "another user's session": lambda w, s: signed(of(w, s) | {"sub": "somebody else"}),
    "of no system": lambda w, s: signed({k: v for k, v in of(w, s).items() if k != "sys"}),
    "of an unknown system": lambda w, s: signed(of(w, s) | {"sys": "atlantis"}),
    "its system a number": lambda w, s: signed(of(w, s) | {"sys": 1}),
    "of no time": lambda w, s: signed({k: v for k, v in of(w, s).items() if k != "exp"}),
    "its time a text": lambda w, s: signed(of(w, s) | {"exp": "soon"}),
    "of an unknown type": lambda w, s: signed(of(w, s) | {"type": "admin"}),
    "for an audience": lambda w, s: signed(of(w, s) | {"aud": "elsewhere"}),
    "expired": lambda w, s: signed(of(w, s) | {"exp": int(time.time()) - 3600}),
    "expired long ago": lambda w, s: signed(of(w, s) | {"exp": -(10**30)}),
    "revoked": revoked,
    "signed out": signed_out,
}
MALFORMED: dict[str, str] = {
    "a word": "garbage",
    "two parts": f"{part({'alg': 'HS256'})}.{part({})}",
    "four parts": "a.b.c.d",
    "empty parts": "..",
    "no base64": "%%%.%%%.%%%",
    "no JSON": f"{part(b'head')}.{part(b'payload')}.{part(b'x')}",
    "arrays": f"{part(b'[]')}.{part(b'[]')}.{part(b'x')}",
    "no UTF-8": f"{part({'alg': 'HS256'})}." + part(b'{"sys":"\xff"}') + f".{part(b'x')}",
    "no UTF-8 in a name": f"{part({'alg': 'HS256'})}." + part(b'{"\xff":1}') + f".{part(b'x')}",
    "no UTF-8 in its header": part(b'{"\xff":1}') + f".{part({'sys': 'ares'})}.{part(b'x')}",
    "a lone surrogate": f"{part({'alg': 'HS256'})}." + part(b'{"sys":"\\ud800"') + f".{part(b'x')}",
    "deep": f"{part({'alg': 'HS256'})}." + part(b"[" * 8_000) + f".{part(b'x')}",
    "long": "x" * 30_000,
    "not ASCII": "é" * 20,
    "a path": "../../etc/passwd",
    "SQL": "kb' OR 1=1 --",
}
HEADERS: dict[str, str] = {
    "Bearer alone": "Bearer",
    "Basic": "Basic YWRhOmFkYQ==",
    "of no scheme": "garbage",
    "of two schemes": "Bearer Bearer",
    "of letters with accents": "Béarer x",
}


def refused(place: Place, response: httpx.Response, *, malformed: bool = False) -> dict[str, Any]:
    """The body of a refusal that has the right status, and says how to ask."""
    assert response.status_code == (422 if place.system == "session" and malformed else 401)
    assert response.headers["www-authenticate"] == "Bearer"
    body: dict[str, Any] = shaped(place.system, place.path, response)
    if place.system == "wisqu":
        assert body == {"detail": "AUTH_INVALID_TOKEN"}
    return body


def ask(world: World, place: Place, authorization: str | None, *, bare: bool = False) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    return world.http.post(place.path if bare else place.prefixed, json=place.body(), headers=headers)


@PLACE
def test_who_brings_none_is_asked_for_one_or_is_anonymous(world: World, place: Place) -> None:
    response = ask(world, place, None)

    if not place.required:
        assert response.status_code == 200
        return
    body = refused(place, response)
    if place.kind == "key":
        assert body == {"error": WORDS["missing"]}
    else:
        assert "INVALID_TOKEN" in response.text or "AUTHENTICATION_FAILED" in response.text


@PLACE
def test_an_empty_header_is_as_good_as_none(world: World, place: Place) -> None:
    with_none, empty = ask(world, place, None), ask(world, place, "")

    assert empty.status_code == with_none.status_code == (401 if place.required else 200)
    assert not place.required or empty.content == with_none.content


@PLACE
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_none_is_refused_also_where_none_is_needed(world: World, place: Place, header: str) -> None:
    response = ask(world, place, header)

    assert response.status_code in ((401, 422) if place.system == "session" else (401,))
    shaped(place.system, place.path, response)
    assert response.headers["www-authenticate"] == "Bearer"


@PLACE
@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_credential_at_all_is_refused(world: World, place: Place, log: Log, token: str) -> None:
    response = ask(world, place, f"Bearer {token}")

    # A JWT's form is looked at, but not what its payload's values are made of.
    body = refused(place, response, malformed=token != MALFORMED["no UTF-8"])
    if place.kind == "key":
        assert body == {"error": WORDS["malformed"]}
    assert token not in response.text + log.text


@PLACE
@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_it_is_refused_without_a_prefix_as_well(world: World, place: Place, token: str) -> None:
    response = ask(world, place, f"Bearer {token}", bare=True)

    assert response.status_code in (401, 422)
    assert response.headers["content-type"] == "application/json"
    assert token not in response.text


@PLACE
@pytest.mark.parametrize("how", FORGED)
def test_a_jwt_that_does_not_hold_is_refused(world: World, place: Place, log: Log, how: str) -> None:
    token = FORGED[how](world, place.system if place.system != "knowbase" else "wisqu")
    response = ask(world, place, f"Bearer {token}")

    body = refused(place, response)
    if place.kind == "key":
        assert body == {"error": WORDS["malformed"]}
    assert token not in response.text + log.text


@pytest.mark.parametrize(
    "place", [place for place in PLACES.values() if place.kind == "jwt"], ids=lambda place: place.name
)
def test_the_same_jwt_unforged_holds(world: World, place: Place) -> None:
    response = ask(world, place, f"Bearer {signed(of(world, place.system))}")

    assert response.status_code == 200


@PLACE
@pytest.mark.parametrize(("system", "kind"), FOREIGN)
def test_another_systems_credential_or_one_of_another_kind_is_refused(
    world: World, place: Place, log: Log, system: str, kind: str
) -> None:
    token = world.credential(system, kind)
    response = ask(world, place, f"Bearer {token}")

    if (system, kind) == (place.system, place.kind):
        assert response.status_code == 200
    else:
        # What is no JWT is malformed where a JWT is asked for.
        refused(place, response, malformed=kind in ("token", "key"))
    assert token not in response.text + log.text


OPAQUE = [PLACES[name] for name in PLACES if PLACES[name].kind != "jwt"]


def opaque(world: World, place: Place, how: str) -> str:
    good = world.server.credential(place.system, place.kind, "mallory")
    match how:
        case "revoked":
            world.do(world.app.auth.revoke(good))
            return good
        case "expired":
            return expired(world, place)
        case "cut":
            return good[:-1]
        case "lengthened":
            return good + "0"
        case "in capitals":
            return good.upper()
        case "its prefix alone":
            return good[: tokens.PREFIX_CHARS]
        case "of another server":
            return tokens.mint("token" if place.kind == "token" else "key")
        case _:
            return good[:-4] + ("0000" if not good.endswith("0000") else "1111")


def expired(world: World, place: Place) -> str:
    auth = world.app.auth
    secret = tokens.mint("token" if place.kind == "token" else "key")
    user = world.do(auth.user_named(place.system, "mallory"))
    row = secret_row(auth._clock, secret, user, "unlimited", auth._clock.now() - 1)
    world.do(auth._rows.add_credential(row))
    return secret


@pytest.mark.parametrize("place", OPAQUE, ids=lambda place: place.name)
@pytest.mark.parametrize(
    "how",
    [
        "revoked",
        "expired",
        "cut",
        "lengthened",
        "in capitals",
        "its prefix alone",
        "of another server",
        "its end changed",
    ],
)
def test_an_opaque_credential_that_does_not_hold_is_refused(world: World, place: Place, log: Log, how: str) -> None:
    token = opaque(world, place, how)
    response = ask(world, place, f"Bearer {token}")

    body = refused(place, response)
    if place.kind == "key":
        assert body == {"error": WORDS["malformed" if how == "in capitals" else "invalid"]}
    else:
        assert body["error"]["code"] == ("EXPIRED_TOKEN" if how == "expired" else "INVALID_TOKEN")
    assert token not in response.text + log.text


@PLACE
def test_who_asks_is_settled_before_what_they_say(world: World, place: Place) -> None:
    headers = {"Authorization": "Bearer a.b.c"}
    response = world.http.post(place.prefixed, content=b"\xff{", headers=headers)

    refused(place, response, malformed=True)


@PLACE
def test_two_authorization_headers_are_not_both_believed(world: World, place: Place) -> None:
    good = world.headers(place)["Authorization"]
    headers = [("Authorization", good), ("Authorization", "Bearer garbage")]
    response = world.http.post(place.prefixed, json=place.body(), headers=headers)

    assert response.status_code in (200, 400, 401, 422)
    assert response.status_code == 200 or shaped(place.system, place.path, response)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize(("method", "verb"), [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("POST", "/stop")])
def test_an_answers_address_refuses_them_as_well(world: World, system: str, token: str, method: str, verb: str) -> None:
    run = world.post(FIRST[system], json=FIRST[system].body()).headers["stream-id"]
    headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
    response = world.http.request(method, f"/streams/{run}{verb}", headers=headers)
    nobodys = world.http.request(method, f"/streams/{'0' * 32}{verb}", headers=headers)

    assert (nobodys.status_code, nobodys.content) == (response.status_code, response.content), (
        "else it tells what exists"
    )

    assert response.status_code == 401
    if method != "HEAD":
        assert set(response.json()) == {"error"}
        assert response.json()["error"]["code"] == "unauthenticated"
    assert token not in response.text


@pytest.mark.parametrize(
    "cookie", ["x", "a.b", f"{part(b'anon x')}.{part(b'x')}", "\xff\xfe.x", "=", ";;;", "x" * 10_000]
)
@pytest.mark.parametrize("system", ["wisqu", "session", "smarttalk"])
def test_a_cookie_that_this_server_did_not_make_counts_as_none(world: World, system: str, cookie: str) -> None:
    place = FIRST[system]
    headers = {"Cookie": f"rivermouth_client={cookie}".encode("latin-1")}
    response = world.http.post(place.prefixed, json=place.body(), headers=headers)

    assert response.status_code == 200
    assert "rivermouth_client=" in response.headers["set-cookie"]
