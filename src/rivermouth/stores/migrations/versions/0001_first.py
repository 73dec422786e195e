"""accounts, credentials, quotas, conversations and messages"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """What SQLite files of version 1 have already, from before there were migrations."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String()),
        sa.Column("password_hash", sa.String()),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.UniqueConstraint("system", "login", name="users_login"),
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("prefix", sa.String(), nullable=False, index=True),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float()),
        sa.Column("revoked", sa.Float()),
        sa.Column("family", sa.String(), index=True),
        sa.Column("used", sa.Float()),
        sa.Column("label", sa.String()),
    )
    op.create_table(
        "counters",
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("credential", "period"),
        sa.CheckConstraint("count >= 0", name="counters_not_negative"),
    )
    _conversations()


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("title", sa.String()),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("meta", sa.Text(), nullable=False),
        sa.UniqueConstraint("system", "owner", "key", name="conversations_key"),
    )
    op.create_index("conversations_newest", "conversations", ["system", "owner", "updated"])
    place = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "messages",
        sa.Column("place", place, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("conversation", sa.String(), sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("run", sa.String()),
        sa.Column("sources", sa.Text()),
        sa.Column("outcome", sa.String()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("completion_tokens", sa.Integer()),
        sa.Column("usage_origin", sa.String()),
        sa.Column("model", sa.String()),
    )
    op.create_index("messages_of", "messages", ["conversation", "place"])
