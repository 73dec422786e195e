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
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("system", String, nullable=False),
    Column("login", String, nullable=False),
    Column("name", String, nullable=False),
    Column("email", String),
    Column("password_hash", String),
    Column("tier", String, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("system", "login", name="users_login"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String, primary_key=True),
    Column("system", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("prefix", String, nullable=False, index=True),
    Column("hash", String, nullable=False),
    Column("tier", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("family", String, index=True),
    Column("used", Float),
    Column("label", String),
)

counters = Table(
    "counters",
    metadata,
    Column("credential", String, nullable=False),
    Column("period", String, nullable=False),
    Column("count", Integer, nullable=False),
    # 2025-11-20 and 2025-11 are both periods, so one table counts days and months alike.
    PrimaryKeyConstraint("credential", "period"),
    CheckConstraint("count >= 0", name="counters_not_negative"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", String, primary_key=True),
    Column("system", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("key", String, nullable=False),
    Column("title", String),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("meta", Text, nullable=False),
    UniqueConstraint("system", "owner", "key", name="conversations_key"),
    Index("conversations_newest", "system", "owner", "updated"),
)

messages = Table(
    "messages",
    metadata,
    # The order of insertion is the order of the conversation: times may be equal or run backwards.
    Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("conversation", String, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("role", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("run", String),
    Column("sources", Text),
    Column("outcome", String),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("usage_origin", String),
    Column("model", String),
    Index("messages_of", "conversation", "place"),
)
