"""Message Batches: what was asked, what is left to do, and the results."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False, comment="who is charged, as in usage"),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("allowed_models", sa.Text(), nullable=False),
        sa.Column(
            "version", sa.String(length=64), nullable=False, comment="of the API, in which its requests are read"
        ),
        sa.Column("betas", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.String(length=64),
            nullable=False,
            comment="creating, in_progress, canceling, ended or deleted",
        ),
        *[
            sa.Column(f"num_{name}", sa.BigInteger(), nullable=False)
            for name in ("requests", "succeeded", "errored", "canceled", "expired")
        ],
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("cancel_initiated_at", sa.Double(), nullable=True),
        sa.Column("archived_at", sa.Double(), nullable=True, comment="when its results were taken away"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("batches_by_workspace", "batches", ["organization_id", "workspace_id", "created_at", "id"])
    op.create_index("batches_by_state", "batches", ["state", "created_at"])
    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False, comment="its turn: what begins alike stands together"),
        sa.Column("custom_id", sa.String(length=64), nullable=False),
        sa.Column("request", sa.Text(), nullable=False, comment="as its client has sent it"),
        sa.Column(
            "lease",
            sa.String(length=64),
            nullable=True,
            comment="of the worker that has it; with a new one, an old one is worth nothing",
        ),
        sa.Column("lease_until", sa.Double(), nullable=False, comment="without a lease: when it may be tried again"),
        sa.Column("num_attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "place"),
        comment="What has no result yet. A request is here or in batch_results, never in both.",
    )
    leased = sa.text("lease IS NOT NULL")
    op.create_index("batch_items_by_lease", "batch_items", ["lease"], sqlite_where=leased, postgresql_where=leased)
    op.create_table(
        "batch_results",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("custom_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column(
            "line",
            sa.Text(),
            nullable=True,
            comment="as it is handed out; of what was canceled or has expired, none is needed",
        ),
        sa.PrimaryKeyConstraint("batch_id", "custom_id"),
    )
