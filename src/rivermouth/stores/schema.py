"""The tables of the rows, in SQLAlchemy Core: the same for every database.

All times are seconds since the epoch (UTC). A change here needs a migration (CONTRIBUTING.md says how to write one); a test
compares the two.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect


class Escaped(TypeDecorator[str]):
    """Any text at all, for PostgreSQL, which takes every character but NUL: that is written as SUB 0, and SUB as SUB 1."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is stored. Raises: UnicodeEncodeError here, before anything is sent: asyncpg would leave a transaction open."""
        if value is not None and not value.isascii():
            value.encode()
        if value is None or ("\0" not in value and "\x1a" not in value):
            return value
        return value.replace("\x1a", "\x1a1").replace("\0", "\x1a0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was."""
        if value is None or "\x1a" not in value:
            return value
        return value.replace("\x1a0", "\0").replace("\x1a1", "\x1a")


class EscapedText(Escaped):
    """The same where it may be long, which makes no difference but in name."""

    impl = Text
    cache_ok = True


# SQLite keeps NULs by itself, and is spared the look at each value.
Words = String().with_variant(Escaped(), "postgresql")
# Only an INTEGER of SQLite's counts by itself; it has 64 bits as well.
Whole = BigInteger().with_variant(Integer, "sqlite")
Prose = Text().with_variant(EscapedText(), "postgresql")

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", Words, primary_key=True),
    Column("system", Words, nullable=False),
    Column("login", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("email", Words),
    Column("password_hash", Words),
    Column("tier", Words, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("system", "login", name="users_login"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Words, primary_key=True),
    Column("system", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("user_id", Words, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("prefix", Words, nullable=False, index=True),
    Column("hash", Words, nullable=False),
    Column("tier", Words, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("family", Words, index=True),
    Column("used", Float),
    Column("label", Words),
)

counters = Table(
    "counters",
    metadata,
    Column("credential", Words, nullable=False),
    Column("period", Words, nullable=False),
    Column("count", Integer, nullable=False),
    # 2025-11-20 and 2025-11 are both periods, so one table counts days and months alike.
    PrimaryKeyConstraint("credential", "period"),
    CheckConstraint("count >= 0", name="counters_not_negative"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Words, primary_key=True),
    Column("system", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("title", Words),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("meta", Prose, nullable=False),
    UniqueConstraint("system", "owner", "key", name="conversations_key"),
    Index("conversations_newest", "system", "owner", "updated"),
)

messages = Table(
    "messages",
    metadata,
    # The order of insertion is the order of the conversation: times may be equal or run backwards.
    Column("place", Whole, primary_key=True, autoincrement=True),
    Column("id", Words, nullable=False, unique=True),
    Column("conversation", Words, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("role", Words, nullable=False),
    Column("text", Prose, nullable=False),
    Column("created", Float, nullable=False),
    Column("run", Words),
    Column("sources", Prose),
    Column("outcome", Words),
    Column("prompt_tokens", Whole),
    Column("completion_tokens", Whole),
    Column("usage_origin", Words),
    Column("model", Words),
    Index("messages_of", "conversation", "place"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", Words, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("system", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("body", Words, nullable=False),
    Column("run", Words, nullable=False),
    Column("at", Float, nullable=False),
    Column("conversation", Words, nullable=False),
    PrimaryKeyConstraint("system", "owner", "key"),
    Index("claims_by_time", "at"),
)

files = Table(
    "files",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("filename", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("size", Whole, nullable=False),
    Column("checksum", Words, nullable=False),
    Column("created", Float, nullable=False),
    Column("progress", Float, nullable=False),
    Column("summary", Prose),
    Column("errors", Prose, nullable=False),
    Column("passages", Integer, nullable=False),
    UniqueConstraint("owner", "checksum", name="files_once"),
    Index("files_newest", "owner", "created"),
    Index("files_by_status", "status"),
)

collections = Table(
    "collections",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("created", Float, nullable=False),
    Index("collections_newest", "owner", "created"),
)

collection_files = Table(
    "collection_files",
    metadata,
    Column("collection", Words, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("file", Words, ForeignKey("files.id", ondelete="CASCADE"), nullable=False, index=True),
    PrimaryKeyConstraint("collection", "place"),
)

# The full text index of these is made and kept by migration 0006, as no two databases have one of the same kind.
passages = Table(
    "passages",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("file", Words, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("place", Words, nullable=False),
    Column("start", Whole, nullable=False),
    Column("scope", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("text", Prose, nullable=False),
    Column("embedder", Words),
    Column("vector", LargeBinary),
    UniqueConstraint("file", "number", name="passages_of"),
)
