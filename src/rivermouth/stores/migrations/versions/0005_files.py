"""files that people ask about, and collections of them"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Three tables; what the index holds of a file comes with the next step."""
    op.create_table(
        "files",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("checksum", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("summary", sa.Text()),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.UniqueConstraint("owner", "checksum", name="files_once"),
    )
    op.create_index("files_newest", "files", ["owner", "created"])
    op.create_index("files_by_status", "files", ["status"])
    op.create_table(
        "collections",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
    op.create_index("collections_newest", "collections", ["owner", "created"])
    op.create_table(
        "collection_files",
        sa.Column("collection", sa.String(), sa.ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.PrimaryKeyConstraint("collection", "place"),
    )
