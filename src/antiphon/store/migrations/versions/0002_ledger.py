"""What calls have used: a row for each, and sums for each hour."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("service_tier", sa.String(length=64), nullable=False),
        sa.Column("context_window", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), server_default="", nullable=False, comment="claude_code, or nothing"),
        sa.Column("started_at", sa.Double(), nullable=False, comment="when its engine started"),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("first_token_ms", sa.Double(), nullable=True),
        sa.Column("minute", sa.BigInteger(), nullable=False, comment="when it ended, in minutes since the epoch"),
        sa.Column(
            "ending",
            sa.String(length=64),
            nullable=False,
            comment="done, failed, left by its client, or cut: the server died under it",
        ),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("thinking_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("web_searches", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_5m_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index("usage_by_time", "usage", ["organization_id", "minute"], unique=False)
    op.create_table(
        "usage_hours",
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False, comment="when they ended, in hours since the epoch"),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("service_tier", sa.String(length=64), nullable=False),
        sa.Column("context_window", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), server_default="", nullable=False),
        sa.Column("num_requests", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("thinking_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("web_searches", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_5m_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_cost", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint(
            "organization_id",
            "hour",
            "workspace_id",
            "key_id",
            "user_id",
            "model",
            "service_tier",
            "context_window",
            "client",
        ),
    )
