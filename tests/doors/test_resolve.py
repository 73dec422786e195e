"""Who is meant: every row of the wire contracts' table "One host, one port", and the five rules in their order."""

import pytest

from rivermouth import dialects
from rivermouth.doors.resolve import Asked, Claim, Claims, Meant, resolve
from rivermouth.doors.siblings import Services, build, claims
from rivermouth.fields import SHARED
from rivermouth.settings import SYSTEMS, Settings

SIBLINGS = [
    Claim("ares", "POST", "/api/auth/register"),
    Claim("ares", "POST", "/api/auth/login"),
    Claim("ares", "POST", "/api/auth/refresh"),
    Claim("session", "POST", "/api/auth/register"),
    Claim("session", "POST", "/api/auth/login"),
    Claim("session", "GET", "/api/auth/verify"),
    Claim("knowbase", "GET", "/api/v1/conversations"),
    Claim("knowbase", "GET", "/api/v1/conversations/{id}"),
    Claim("knowbase", "DELETE", "/api/v1/conversations/{id}"),
    Claim("wisqu", "GET", "/api/v1/conversations/"),
    Claim("wisqu", "GET", "/api/v1/conversations"),
    Claim("wisqu", "GET", "/api/v1/conversations/{id}"),
    Claim("wisqu", "DELETE", "/api/v1/conversations/{id}"),
]
CHATS = [Claim(name, route.method, route.path) for name in dialects.names() for route in dialects.load(name).ROUTES]
CLAIMS = Claims([*CHATS, *SIBLINGS], SYSTEMS)
DEFAULTS = Settings().default_dialects
SSE = "text/event-stream"
ID = "/api/v1/conversations/8c5e"


def meant(method, path, defaults=DEFAULTS, **asked):
    return resolve(Asked(method=method, path=path, **asked), CLAIMS, defaults)


def keys(*names):
    return {"body": dict.fromkeys(names, "x")}


@pytest.mark.parametrize(
    ("method", "path", "asked", "system"),
    [
        # POST /api/chat: ares, session, smarttalk
        ("POST", "/api/chat", keys("message", "chatInstanceId"), "smarttalk"),
        ("POST", "/api/chat", keys("message", "chatModelId"), "smarttalk"),
        ("POST", "/api/chat", {**keys("message"), "query": {"stream": "true"}}, "smarttalk"),
        ("POST", "/api/chat", {**keys("message"), "query": {"stream": ""}}, "smarttalk"),
        ("POST", "/api/chat", keys("message", "agent_type"), "ares"),
        ("POST", "/api/chat", keys("message", "context_id"), "ares"),
        ("POST", "/api/chat", keys("message", "session_id"), "session"),
        ("POST", "/api/chat", keys("message", "context"), "session"),
        ("POST", "/api/chat", keys("session_id", "agent_type", "chatModelId"), "smarttalk"),
        ("POST", "/api/chat", keys("session_id", "agent_type"), "ares"),
        ("POST", "/api/chat", keys("message"), "session"),
        ("POST", "/api/chat", {"body": None}, "session"),
        # POST /api/chat/stream: ares, session
        ("POST", "/api/chat/stream", keys("message", "agent_type"), "ares"),
        ("POST", "/api/chat/stream", keys("message", "context_id"), "ares"),
        ("POST", "/api/chat/stream", keys("message", "session_id"), "session"),
        ("POST", "/api/chat/stream", keys("session_id", "agent_type"), "ares"),
        ("POST", "/api/chat/stream", {**keys("message"), "bearer": True, "accept": SSE}, "ares"),
        ("POST", "/api/chat/stream", {**keys("message"), "bearer": True, "accept": "*/*"}, "session"),
        ("POST", "/api/chat/stream", {**keys("message"), "accept": SSE}, "session"),
        ("POST", "/api/chat/stream", {**keys("message", "session_id"), "bearer": True, "accept": SSE}, "session"),
        ("POST", "/api/chat/stream", keys("message", "chatInstanceId"), "session"),
        ("POST", "/api/chat/stream", {"body": None}, "session"),
        # POST /api/v1/chat without the slash: knowbase, wisqu
        ("POST", "/api/v1/chat", keys("question"), "knowbase"),
        ("POST", "/api/v1/chat", keys("message"), "wisqu"),
        ("POST", "/api/v1/chat", keys("message", "question"), "knowbase"),
        ("POST", "/api/v1/chat", keys("stream"), "knowbase"),
        ("POST", "/api/v1/chat", {"body": None}, "knowbase"),
        # with the slash: wisqu, whatever the body says
        ("POST", "/api/v1/chat/", keys("message"), "wisqu"),
        ("POST", "/api/v1/chat/", keys("question"), "wisqu"),
        ("POST", "/api/v1/chat/", {"body": None}, "wisqu"),
        ("GET", "/api/v1/chat/", {}, "wisqu"),
        ("POST", "/api/v1/chat/stream", keys("question"), "knowbase"),
        ("POST", "/api/v1/chat/stream", keys("message"), "knowbase"),
        ("POST", "/v1/chat/stream", keys("message"), "ares"),
        ("POST", "/v1/chat", keys("message"), "ares"),
        # register and login: ares, session
        ("POST", "/api/auth/register", keys("email", "password"), "ares"),
        ("POST", "/api/auth/register", keys("username", "password"), "session"),
        ("POST", "/api/auth/register", keys("username", "email"), "ares"),
        ("POST", "/api/auth/register", {"body": None}, "session"),
        ("POST", "/api/auth/login", keys("email", "password"), "ares"),
        ("POST", "/api/auth/login", keys("username", "password"), "session"),
        ("POST", "/api/auth/login", keys("password"), "session"),
        ("POST", "/api/auth/refresh", {"body": None}, "ares"),
        ("GET", "/api/auth/verify", {}, "session"),
        # conversations: the credential; without one, the slash
        ("GET", "/api/v1/conversations", {"credential": "knowbase"}, "knowbase"),
        ("GET", "/api/v1/conversations", {"credential": "wisqu"}, "wisqu"),
        ("GET", "/api/v1/conversations", {}, "knowbase"),
        ("GET", "/api/v1/conversations/", {}, "wisqu"),
        ("GET", ID, {"credential": "knowbase"}, "knowbase"),
        ("GET", ID, {"credential": "wisqu"}, "wisqu"),
        ("DELETE", ID, {"credential": "knowbase"}, "knowbase"),
        ("DELETE", ID, {"credential": "wisqu"}, "wisqu"),
        ("DELETE", ID, {}, "knowbase"),
        # nobody's
        ("POST", "/api/chats", keys("message"), None),
        ("GET", "/", {}, None),
    ],
)
def test_each_row_of_the_table_is_decided_as_it_says(method, path, asked, system):
    assert meant(method, path, **asked) == Meant(system, path)


@pytest.mark.parametrize(
    ("path", "credential", "body", "system"),
    [
        ("/api/chat", "ares", keys("chatInstanceId"), "ares"),
        ("/api/chat", "smarttalk", keys("agent_type"), "smarttalk"),
        ("/api/chat", "session", keys("agent_type"), "session"),
        ("/api/chat/stream", "ares", keys("session_id"), "ares"),
        ("/api/chat/stream", "session", keys("agent_type"), "session"),
        ("/api/v1/chat", "wisqu", keys("question"), "wisqu"),
        ("/api/v1/chat", "knowbase", keys("message"), "knowbase"),
        ("/api/chat", "knowbase", keys("agent_type"), "ares"),
        ("/api/chat/stream", "smarttalk", keys("message"), "session"),
    ],
)
def test_the_credential_counts_before_the_body_among_those_who_claim_the_path(path, credential, body, system):
    assert meant("POST", path, credential=credential, **body).system == system


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "path", ["/api/chat", "/api/v1/chat/", "/v1/chat/stream", "/nothing", "/api/v1/conversations/"]
)
def test_a_prefix_and_a_pinned_listener_count_before_everything(system, path):
    others = {**keys("chatInstanceId", "agent_type", "question"), "credential": "knowbase", "accept": SSE}

    assert meant("POST", f"/{system}{path}", **others) == Meant(system, path)
    assert meant("POST", path, pinned=system, **others) == Meant(system, path)


def test_a_prefix_counts_on_every_listener():
    assert meant("POST", "/ares/api/chat", pinned="session") == Meant("ares", "/api/chat")


def test_only_a_systems_whole_name_is_a_prefix():
    assert meant("POST", "/aresx/api/chat") == Meant(None, "/aresx/api/chat")
    assert meant("POST", "/ares") == Meant(None, "/ares")
    assert meant("POST", "/ares/").system == "ares"


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/stream"])
def test_the_setting_decides_what_nothing_tells(path):
    assert meant("POST", path, {path: "ares"}, **keys("message")).system == "ares"
    assert meant("POST", path, {path: "ares"}, **keys("session_id")).system == "session"
    assert meant("POST", path, {path: "wisqu"}, **keys("message")).system == "session"
    assert meant("POST", path, {}, **keys("message")).system == "session"


def test_another_method_on_a_path_is_refused_by_those_who_claim_it():
    assert meant("GET", "/api/v1/chat/").system == "wisqu"
    assert meant("DELETE", "/api/chat/stream").system == "session"
    assert meant("PUT", "/v1/chat").system == "ares"


def test_the_body_is_only_looked_at_where_it_matters():
    assert CLAIMS.shared("/api/chat", "POST")
    assert CLAIMS.shared("/api/v1/chat", "POST")
    assert not CLAIMS.shared("/api/v1/chat/", "POST")
    assert not CLAIMS.shared("/api/v1/chat/stream", "POST")


def test_the_paths_for_which_a_setting_may_choose_are_those_that_systems_share():
    served = {}
    for claim in [*CHATS, *claims(build(Services(*(None,) * 6)))]:
        served.setdefault(claim.path, set()).add(claim.system)
    shared = {path: found for path, found in served.items() if len(found) > 1 and "{" not in path}

    assert {path: set(systems) for path, systems in SHARED.items()} == shared
