"""Where settings come from, which of them counts, and what a person is told when one does not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rivermouth.loading import load_settings
from rivermouth.settings import Settings, SettingsError, listener


class Place:
    """A folder to start in, with what is written there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, *, flags: Mapping[str, Any] | None = None, toml: str = "", dotenv: str = "", **env: str) -> Settings:
        (self.folder / "rivermouth.toml").write_text(toml)
        (self.folder / ".env").write_text(dotenv)
        return load_settings(flags or {}, env=env, cwd=self.folder)

    def refusal(self, **given: Any) -> str:
        with pytest.raises(SettingsError) as caught:
            self.load(**given)
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_with_nothing_given_the_defaults_hold(tmp_path: Path):
    settings = load_settings({}, env={}, cwd=tmp_path)

    assert settings == Settings()


def test_flags_count_more_than_the_environment_more_than_dotenv_more_than_toml(place: Place):
    toml, dotenv = "port = 1\nhost = 'a'\nlog_level = 'error'\ndata_dir = 'x'", "RIVERMOUTH_PORT=2\nRIVERMOUTH_HOST=b\n"
    dotenv += "RIVERMOUTH_LOG_LEVEL=debug"
    settings = place.load(
        flags={"port": 4},
        toml=toml,
        dotenv=dotenv,
        RIVERMOUTH_PORT="3",
        RIVERMOUTH_HOST="c",
        RIVERMOUTH_LIMITS__ENABLED="no",
    )

    assert (settings.port, settings.host, settings.log_level, settings.data_dir) == (4, "c", "debug", Path("x"))
    assert settings.limits.enabled is False


def test_a_flag_that_was_not_given_changes_nothing(place: Place):
    settings = place.load(flags={"port": None, "model.url": None}, RIVERMOUTH_PORT="3")

    assert (settings.port, settings.model.url) == (3, None)


def test_a_list_is_written_with_commas_or_as_json(place: Place):
    commas = place.load(RIVERMOUTH_LISTEN="127.0.0.1:3000=ares, [::1]:5000=session")
    json = place.load(RIVERMOUTH_LISTEN='["127.0.0.1:3000=ares", "[::1]:5000=session"]')

    assert commas.listen == json.listen == ("127.0.0.1:3000=ares", "[::1]:5000=session")
    assert listener(commas.listen[1]) == ("::1", 5000, "session")


def test_a_table_is_json_or_one_name_for_each_member(place: Place):
    json = place.load(RIVERMOUTH_LIMITS__WISQU='{"free": 3}')
    member = place.load(RIVERMOUTH_LIMITS__WISQU__FREE="3")

    assert json.limits.wisqu == member.limits.wisqu == {"anonymous": 5, "free": 3, "premium": 50, "unlimited": 1000}


def test_an_agent_in_toml_changes_only_what_it_names(place: Place):
    settings = place.load(toml='[agents.hr]\nmodel = "m"\n[agents.poet]\ninstructions = "Rhyme."')

    assert (settings.agents["hr"].model, settings.agents["hr"].name) == ("m", "HR")
    assert settings.agents["poet"].instructions == "Rhyme."
    assert "assistant" in settings.agents


def test_other_names_in_dotenv_and_the_environment_are_not_ours(place: Place):
    assert place.load(dotenv="DATABASE_PASSWORD=x\nMODEL=y", HOME="/", PORT="9") == Settings()


def test_an_empty_value_counts_as_not_set(place: Place):
    assert place.load(RIVERMOUTH_PORT="", LOCAL_LLM_URL="", dotenv="RIVERMOUTH_HOST=") == Settings()


def test_the_shared_names_say_where_the_model_is(place: Place):
    model = place.load(LOCAL_LLM_URL="http://h:1", LOCAL_LLM_MODEL="m", dotenv="LOCAL_LLM_API_KEY=k").model

    assert (model.url, model.name) == ("http://h:1", "m")
    assert model.api_key is not None
    assert model.api_key.get_secret_value() == "k"


def test_an_openai_key_alone_means_the_public_api(place: Place):
    model = place.load(OPENAI_API_KEY="sk-1").model

    assert model.url == "https://api.openai.com/v1"
    assert model.api_key is not None


@pytest.mark.parametrize(
    "given",
    [
        {"LOCAL_LLM_URL": "http://h"},
        {"flags": {"model.url": "http://h"}},
        {"toml": '[model]\nurl = "http://h"'},
        {"dotenv": "LOCAL_LLM_URL=http://h"},
    ],
)
def test_an_openai_key_never_goes_to_a_server_named_elsewhere(place: Place, given: dict[str, Any]):
    model = place.load(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL="https://other", **given).model

    assert (model.url, model.api_key) == ("http://h", None)


def test_an_openai_key_is_not_used_where_the_built_in_model_is_asked_for(place: Place):
    assert place.load(OPENAI_API_KEY="sk-1", RIVERMOUTH_MODEL__PROVIDER="embedded").model.url is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"RIVERMOUTH_PROT": "1"}, ["prot", "RIVERMOUTH_PROT in the environment", "did you mean port?"]),
        ({"dotenv": "RIVERMOUTH_LIMIT=1"}, ["limit ", "RIVERMOUTH_LIMIT in .env", "did you mean limits?"]),
        ({"RIVERMOUTH_PORT": "tcp"}, ["port 'tcp'", "integer", "RIVERMOUTH_PORT in the environment"]),
        ({"RIVERMOUTH_PORT__X": "1"}, ["port.x", "RIVERMOUTH_PORT__X"]),
        ({"flags": {"port": 99_999}}, ["port '99999'", "65535", "the flag --port"]),
        ({"flags": {"model.url": "ftp://h"}}, ["model.url 'ftp://h'", "the flag --model-url"]),
        ({"toml": "\nport = '8000'"}, ["port '8000'", "integer", "rivermouth.toml line 2"]),
        ({"toml": "port = true"}, ["port True", "rivermouth.toml line 1"]),
        ({"toml": "[limits]\nlogin = '5/minute'\nlogn = 1"}, ["limits.logn", "line 3", "did you mean limits.login?"]),
        ({"toml": "[agents.poet]\nname = 'x'\nmodl = 'm'"}, ["agents.poet.modl", "line 3"]),
        ({"toml": "port ="}, ["rivermouth.toml cannot be read"]),
        ({"RIVERMOUTH_MODEL": "gpt"}, ["model is a group", "RIVERMOUTH_MODEL"]),
        ({"RIVERMOUTH_LISTEN": "127.0.0.1:80=foo"}, ["listen", "'foo'", "knowbase, ares"]),
        ({"RIVERMOUTH_LISTEN": "3000=ares"}, ["listen", "HOST:PORT=SYSTEM"]),
        ({"RIVERMOUTH_LISTEN": "a:1=ares,a:1=wisqu"}, ["listen", "a:1 is listed twice"]),
        ({"RIVERMOUTH_LISTEN": "127.0.0.1:8000=ares"}, ["listen has 127.0.0.1:8000", "RIVERMOUTH_LISTEN"]),
        ({"RIVERMOUTH_TRUSTED_PROXIES": "10.0.0.0/8,here"}, ["trusted_proxies", "'here'"]),
        ({"toml": "default_agent = 'nobody'"}, ["default_agent 'nobody'", "assistant", "rivermouth.toml line 1"]),
        ({"RIVERMOUTH_LIMITS__LOGIN": "5/fortnight"}, ["limits.login '5/fortnight'", "20/minute"]),
        ({"RIVERMOUTH_DEFAULT_DIALECTS": '{"/api/chat":"zzz"}'}, ["default_dialects./api/chat 'zzz'", "session"]),
        (
            {"toml": 'default_dialects = {"/api/nope" = "ares"}'},
            ["default_dialects./api/nope", "/api/v1/chat", "line 1"],
        ),
        (
            {"toml": 'default_dialects = {"/api/chat" = "knowbase"}'},
            ["'knowbase'", "ares, session, smarttalk", "line 1"],
        ),
        ({"RIVERMOUTH_LIMITS__KNOWBASE": "0/minute"}, ["limits.knowbase '0/minute'", "greater than 0"]),
        ({"RIVERMOUTH_LIMITS__LOGIN": "5/minute;0/hour"}, ["limits.login", "greater than 0"]),
        ({"RIVERMOUTH_LIMITS__WISQU__FREE": "0"}, ["limits.wisqu.free '0'", "greater than 0"]),
        ({"toml": '[cors]\norigins = "https://a.org"'}, ["cors.origins", "it is a list", "line 2"]),
        ({"RIVERMOUTH_CORS__ORIGINS": "["}, ["cors.origins '['", "it is a list"]),
        ({"RIVERMOUTH_CORS__ORIGINS": "notanorigin"}, ["cors.origins", "'notanorigin' is no origin", "scheme://host"]),
        ({"RIVERMOUTH_CORS__ORIGINS": "https://a.org/"}, ["cors.origins", "without a path"]),
        ({"RIVERMOUTH_CORS__ORIGINS": "https://a.org:99999"}, ["cors.origins", "https://a.org:99999"]),
        ({"RIVERMOUTH_CORS__ORIGINS": "*"}, ["cors.origins", "'*'"]),
        ({"RIVERMOUTH_EMBEDDED__MAX_TOKENS": "0"}, ["embedded.max_tokens '0'", "greater than 0"]),
        ({"RIVERMOUTH_WORKERS": "2"}, ["workers is 2", "RIVERMOUTH_WORKERS", "REDIS_URL"]),
        ({"RIVERMOUTH_RUNS__DRAIN": "inf"}, ["runs.drain 'inf'", "finite"]),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_setting_place_and_what_fits(
    place: Place, given: dict[str, Any], words: list[str]
):
    line = place.refusal(**given)

    assert [word for word in words if word not in line] == []
    assert "\n" not in line


def test_a_secret_that_does_not_fit_is_not_shown(place: Place):
    line = place.refusal(RIVERMOUTH_AUTH__JWT_SECRET="hunter2")

    assert "hunter2" not in line
    assert "at least 32 characters" in line


def test_a_password_in_an_address_is_not_shown(place: Place):
    assert "hunter2" not in place.refusal(RIVERMOUTH_MODEL__URL="htp://me:hunter2@h")


def test_a_settings_file_that_was_named_must_be_there(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"no file .*own\.toml"):
        load_settings({}, env={}, cwd=tmp_path, config=tmp_path / "own.toml")


def test_a_settings_file_that_was_named_takes_the_place_of_the_usual_one(place: Place):
    (place.folder / "own.toml").write_text("port = 7")
    (place.folder / "rivermouth.toml").write_text("port = 8")

    assert load_settings({}, env={}, cwd=place.folder, config=place.folder / "own.toml").port == 7


def test_the_pages_that_may_call_are_named_by_scheme_host_and_port(place: Place):
    given = ("https://chat.example.org", "http://localhost:3000", "http://[::1]:3000", "capacitor://localhost", "null")

    assert place.load(RIVERMOUTH_CORS__ORIGINS=",".join(given)).cors.origins == given


def test_an_agent_may_be_a_file_of_the_data_directory(place: Place):
    folder = place.folder / "data" / "agents"
    folder.mkdir(parents=True)
    (folder / "poet.toml").write_text(
        'instructions = "Rhyme."\ntools = ["calculator", "maps.*"]\nsteps = 3\nanonymous = false'
    )
    (folder / "hr.toml").write_text('model = "from the file"\ntemperature = 0.5')
    (folder / "notes.txt").write_text("not an agent")
    settings = place.load(toml=f"data_dir = '{folder.parent}'\n[agents.hr]\nmodel = 'from rivermouth.toml'")

    poet = settings.agents["poet"]
    assert (poet.instructions, poet.tools, poet.steps, poet.anonymous) == ("Rhyme.", ("calculator", "maps.*"), 3, False)
    assert (settings.agents["hr"].model, settings.agents["hr"].temperature) == ("from rivermouth.toml", 0.5)
    assert "notes" not in settings.agents


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("instructions = 'x'\nmodl = 'm'", ["agents.poet.modl", "agents/poet.toml line 2", "agents.poet.model"]),
        ("steps = 0", ["agents.poet.steps 0", "agents/poet.toml line 1"]),
        ("tools = 'calculator'", ["agents.poet.tools", "agents/poet.toml line 1"]),
        ("instructions = ", ["agents/poet.toml cannot be read"]),
        ("\npicks = ['hr', 'nobody']", ["agents.poet.picks has 'nobody'", "agents/poet.toml line 2"]),
        ("asks = ['router']", ["agents.poet.asks has 'router'", "picks or asks others itself"]),
        ("asks = ['hr']\npicks = ['hr']", ["agents.poet.asks and agents.poet.picks are both set"]),
    ],
)
def test_a_file_that_is_no_agent_stops_the_start_and_is_named(place: Place, text: str, words: list[str]):
    folder = place.folder / "data" / "agents"
    folder.mkdir(parents=True)
    (folder / "poet.toml").write_text(text)
    refusal = place.refusal(RIVERMOUTH_DATA_DIR=str(folder.parent))

    assert "\n" not in refusal
    assert [word for word in words if word not in refusal] == [], refusal
