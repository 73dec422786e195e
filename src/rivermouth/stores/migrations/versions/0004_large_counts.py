"""counts of tokens beyond two thousand million"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """SQLite's whole numbers have 64 bits as they are; PostgreSQL would refuse the answer with a larger one."""
    if op.get_bind().dialect.name == "postgresql":
        for name in ("prompt_tokens", "completion_tokens"):
            op.alter_column("messages", name, type_=sa.BigInteger())
