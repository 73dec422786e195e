"""Every setting and its default, in one place. Where their values come from is in `loading.py`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field, SecretStr, model_validator

from rivermouth.agents import AGENTS, unfit
from rivermouth.fields import (
    SYSTEMS,
    Count,
    DatabaseUrl,
    Listeners,
    Networks,
    OnDisconnect,
    Origins,
    Pause,
    Rate,
    RedisUrl,
    Seconds,
    Secret,
    Section,
    System,
    Url,
    is_local,
    listener,
    misdirected,
)
from rivermouth.origins import SettingsError
from rivermouth.speech_settings import Transcribe
from rivermouth.tool_settings import McpServers, Tools

__all__ = ["AGENTS", "SYSTEMS", "Settings", "SettingsError", "is_local", "listener"]


class Agent(Section):
    """A named way to answer: instructions, model, temperature, limits, tools."""

    name: str = Field("", description="What people see; the agent's key where empty.")
    description: str = Field("", description="One line for lists of agents.")
    instructions: str = Field("", description="The system prompt.")
    model: str | None = Field(None, description="The model to ask; the provider's default where none.")
    temperature: float | None = Field(None, ge=0, le=2, description="From 0 to 2; the model's own where none.")
    max_tokens: Count | None = Field(None, description="The most tokens an answer may take.")
    tools: tuple[str, ...] = Field((), description="Tools it may call, by name; `files.*` is all that begin so.")
    steps: Count = Field(8, description="Times that it may call tools before it must answer with what it has.")
    picks: tuple[str, ...] = Field((), description="Agents of which this one picks the one that answers.")
    asks: tuple[str, ...] = Field((), description="Agents that this one may ask, to join their answers.")
    anonymous: bool = Field(True, description="Whether callers without a credential may use it.")


class Model(Section):
    """Which model answers. With nothing set, the built-in one."""

    provider: str | None = Field(None, description="`embedded`, `openai` or a plug-in; chosen by what else is set.")
    url: Url | None = Field(None, description="An OpenAI-compatible server, with or without /v1 (LOCAL_LLM_URL).")
    name: str | None = Field(None, description="The model to ask for (LOCAL_LLM_MODEL); the server's first where none.")
    api_key: SecretStr | None = Field(None, description="Its credential (LOCAL_LLM_API_KEY, OPENAI_API_KEY).")
    context_tokens: Count | None = Field(
        None, description="What prompt and answer may take; asked of the server if unset."
    )
    choices: tuple[str, ...] = Field((), description="Models that a request may name; any other name gets the default.")
    connect_timeout: Seconds = Field(5.0, description="Seconds for a connection to the model's server.")
    first_byte_timeout: Seconds = Field(120.0, description="Seconds until the model's server answers.")
    idle_timeout: Seconds = Field(60.0, description="Seconds of silence in the middle of an answer.")
    max_idle_connections: Count = Field(100, description="Connections kept open between answers.")


class Embedded(Section):
    """The built-in model."""

    parallel: Count = Field(4, description="Answers decoded at a time; further ones queue, fairly by caller.")
    context_tokens: Count = Field(4096, description="Tokens of prompt and answer together, for each answer.")
    max_tokens: Count = Field(1024, description="The most tokens of one answer; a request or an agent may say less.")
    threads: Count | None = Field(None, description="Threads that decode; the machine's cores where unset.")
    file: Path | None = Field(None, description="A .gguf file to use instead of the packaged SmolLM2.")


class Auth(Section):
    """Secrets and life times. A secret that is not given is made once and kept in the data directory, mode 0600."""

    jwt_secret: Secret | None = Field(None, description="At least 32 characters; signs every JWT.")
    registration: bool = Field(True, description="Whether people may register accounts themselves.")
    leeway: Pause = Field(60.0, description="Seconds of clock difference allowed in an ares JWT's expiry.")


class LimitSettings(Section):
    """Rates and sizes; each system's own limits are those of its documentation."""

    enabled: bool = Field(True, description="Whether requests are counted at all.")
    knowbase: Rate = Field("20/minute;200/hour;2000/day", description="Chat requests of one token.")
    session_stream: Rate = Field("30/minute", description="POST /api/chat/stream of one address.")
    session_chat: Rate = Field("60/minute", description="POST /api/chat of one address.")
    smarttalk: Rate = Field("60/minute", description="Chat requests of one caller.")
    ares_address: Rate = Field("100/second", description="Requests of one address.")
    again: Rate = Field("120/minute", description="Requests of one caller whose Idempotency-Key has come before.")
    login: Rate = Field("5/minute", description="Sign-ins from one address.")
    page_files: Rate = Field("60/hour", description="Files that visitors of the page give, of one address.")
    register_: Rate = Field("3/hour", alias="register", description="New accounts from one address.")
    wisqu: dict[str, Count] = Field(
        {"anonymous": 5, "free": 10, "premium": 50, "unlimited": 1000}, description="Requests a minute, by tier."
    )
    ares: dict[str, tuple[Count, Count]] = Field(
        {"free": (1000, 50), "dev": (50_000, 2000), "pro": (500_000, 20_000)},
        description="Requests a month and a day, by tier; a tier not named here has no quota.",
    )
    message_chars: Count = Field(32_000, description="The longest chat message, in characters.")
    body_bytes: Count = Field(1_000_000, description="The largest request body, in bytes; a file has its own limit.")
    file_bytes: Count = Field(50_000_000, description="The largest file, in bytes.")
    files: Count = Field(1000, description="The most files that one user may have; `rivermouth ingest` has no limit.")
    files_bytes: Count = Field(5_000_000_000, description="The most bytes that all files of one user may have.")
    file_audio: Seconds = Field(7200.0, description="The longest audio file, in seconds.")
    voice_bytes: Count = Field(25_000_000, description="The largest voice message, in bytes.")
    voice_seconds: Seconds = Field(600.0, description="The longest voice message, in seconds.")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


AtOnce = Literal["allow", "reject", "queue"]


class Runs(Section):
    """How long things wait for one another."""

    at_once: AtOnce = Field(
        "allow",
        description="A question while its conversation is being answered: answered as well, 409, or its turn awaited.",
    )
    on_disconnect: OnDisconnect = Field("cancel_after=30", description="When nobody listens.")
    status_after: Seconds = Field(1.0, description="Seconds after which a stream's status goes out unasked.")
    heartbeat: Seconds = Field(15.0, description="Seconds of silence before a comment is sent.")
    send_timeout: Seconds = Field(60.0, description="Seconds a client may take nothing of what waits for it.")
    drain: Pause = Field(20.0, description="Seconds that runs may go on after SIGTERM.")
    lease: Seconds = Field(
        10.0, description="Seconds after which the runs of a replica that died are ended (with Redis)."
    )
    commit_timeout: Seconds = Field(2.0, description="Seconds a commit to Redis may take before it counts as failed.")
    commit_ms: Seconds = Field(
        8.0, description="Milliseconds for which events are gathered into one commit, less where many come."
    )
    retention: Seconds = Field(86_400.0, description="Seconds a finished run can be replayed.")
    history_messages: Count = Field(200, description="The most earlier messages read for one answer.")


class Sockets(Section):
    """Socket.IO."""

    per_address: Count = Field(200, description="Sockets that one address may have open.")
    streams: Count = Field(20, description="Answers that one socket may follow at a time.")
    rooms: Count = Field(100, description="Conversations that one socket may have joined at a time.")
    message_bytes: Count = Field(
        1_000_000, description="The largest message of a client; a larger one closes its socket."
    )
    ping_interval: Seconds = Field(25.0, ge=1, description="Seconds between two pings.")
    ping_timeout: Seconds = Field(20.0, ge=1, description="Seconds until a ping must have been answered.")


class Embeddings(Section):
    """What makes vectors of texts, so that files are searched by their meaning, too. With nothing set: by their words alone."""

    url: Url | None = Field(None, description="An OpenAI-compatible server for /v1/embeddings, with or without /v1.")
    model: str | None = Field(None, description="The model to ask it for.")
    api_key: SecretStr | None = Field(None, description="Its credential.")
    local: bool = Field(False, description="Use all-MiniLM-L6-v2 in this process; needs the extra `embeddings`.")
    folder: Path | None = Field(None, description="A folder with model.onnx and tokenizer.json to use instead.")
    threads: Count = Field(1, description="Threads that one call of the model in this process computes with.")
    memory_mb: Count = Field(256, description="Megabytes of vectors that are kept in memory between searches.")


class Search(Section):
    """How files are searched before an answer, and what of them goes to the model and to the client."""

    passages: int = Field(5, ge=1, le=50, description="The most passages that an answer is given, and may cite.")
    passage_chars: Count = Field(2_000, description="The most characters of each that a client is sent.")


class Price(Section):
    """Money for 1000 tokens."""

    input: float = Field(0.0, ge=0, description="For what the model reads.")
    output: float = Field(0.0, ge=0, description="For what it writes.")


class Cors(Section):
    """Which pages may call. With `origins` empty: any, without credentials; else those alone, with credentials."""

    origins: Origins = Field((), description="Such as https://chat.example.org.")


class Page(Section):
    """The page to talk to, at `/`."""

    enabled: bool = Field(True, description="Whether it is served.")
    uploads: bool | None = Field(
        None, description="Whether visitors may give files; unset, where the server is for this machine alone."
    )
    files: Count = Field(20, description="The most files of one visitor.")
    files_bytes: Count = Field(100_000_000, description="The most bytes of all files of one visitor.")


class Settings(Section):
    """All of it."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free one.")
    listen: Listeners = Field((), description="Further listeners, each HOST:PORT=SYSTEM, that serve one system.")
    workers: Count = Field(1, description="Processes that serve, on the same addresses; more than one needs redis_url.")
    data_dir: Path = Field(Path("rivermouth-data"), description="Where the databases, secrets and models are kept.")
    redis_url: RedisUrl | None = Field(
        None, description="Redis 7 for events, leases, stops and limits of several replicas (REDIS_URL)."
    )
    database_url: DatabaseUrl | None = Field(
        None, description="PostgreSQL 15 for accounts, conversations and messages (DATABASE_URL)."
    )
    default_dialects: dict[str, System] = Field(
        {"/api/chat": "session", "/api/chat/stream": "session"}, description="Who is meant where nothing tells."
    )
    trusted_proxies: Networks = Field((), description="Addresses or networks whose X-Forwarded-For is believed.")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or JSON lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    default_agent: str = Field("assistant", description="Who answers where a request names no agent.")
    agents: dict[str, Agent] = Field(
        {key: Agent(**value) for key, value in AGENTS.items()},
        description="By the name that requests use; what is set for a shipped one changes only that.",
    )
    prices: dict[str, Price] = Field({}, description="By model name; `default` for any other.")
    model: Model = Model()
    embedded: Embedded = Embedded()
    auth: Auth = Auth()
    limits: LimitSettings = LimitSettings()
    runs: Runs = Runs()
    sockets: Sockets = Sockets()
    embeddings: Embeddings = Embeddings()
    transcribe: Transcribe = Transcribe()
    search: Search = Search()
    cors: Cors = Cors()
    page: Page = Page()
    tools: Tools = Tools()
    mcp: McpServers = Field(
        {}, description="Servers whose tools agents may use, by the name that the tools begin with."
    )

    @property
    def rows_file(self) -> Path:
        """The database of accounts, conversations and messages."""
        return self.data_dir / "rows.db"

    @property
    def files(self) -> Path:
        """The folder of the files that people gave."""
        return self.data_dir / "files"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if why := unfit({name: (agent.picks, agent.asks) for name, agent in self.agents.items()}):
            raise ValueError(why)
        if why := misdirected(self.default_dialects):
            raise ValueError(why)
        if self.default_agent not in self.agents:
            raise ValueError(
                f"default_agent {self.default_agent!r} is not among the agents; there are {', '.join(self.agents)}"
            )
        if self.workers > 1 and self.redis_url is None:
            raise ValueError(
                f"workers is {self.workers}, and several processes share their answers over Redis: start a Redis 7 and set "
                f"REDIS_URL, such as redis://127.0.0.1:6379/0, or leave workers at 1"
            )
        if self.port and (self.host, self.port) in [listener(entry)[:2] for entry in self.listen]:
            raise ValueError(f"listen has {self.host}:{self.port}, which is the main address; choose another port")
        return self
