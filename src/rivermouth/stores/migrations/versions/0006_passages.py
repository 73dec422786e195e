"""passages of files, and a full text index of them"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """The index is kept in step by triggers in SQLite, where a row that is deleted with its file fires them as well."""
    op.create_table(
        "passages",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=True),
        sa.Column("file", sa.String(), sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("start", WHOLE, nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("embedder", sa.String()),
        sa.Column("vector", sa.LargeBinary()),
        sa.UniqueConstraint("file", "number", name="passages_of"),
    )
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


POSTGRESQL = (
    """
    CREATE TABLE passage_words (
        passage bigint PRIMARY KEY REFERENCES passages (id) ON DELETE CASCADE, words tsvector NOT NULL
    )
    """,
    "CREATE INDEX passage_words_index ON passage_words USING gin (words)",
)
SQLITE = (
    """
    CREATE VIRTUAL TABLE passage_words USING fts5(
        scope, title, text, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN
        INSERT INTO passage_words (rowid, scope, title, text) VALUES (new.id, new.scope, new.title, new.text);
    END
    """,
    """
    CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN
        INSERT INTO passage_words (passage_words, rowid, scope, title, text)
        VALUES ('delete', old.id, old.scope, old.title, old.text);
    END
    """,
)
