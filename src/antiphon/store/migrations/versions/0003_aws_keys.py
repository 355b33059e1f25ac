"""Pairs of an access key id and a secret, for clients that sign their requests."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aws_keys",
        sa.Column("access_key_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False, comment="the key that it signs for"),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="sealed: a signature is checked with the secret itself"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"]),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    op.create_index("aws_keys_by_key", "aws_keys", ["key_id"], unique=False)
