"""The tables. Times are seconds since the epoch; money is whole nano-dollars; lists and objects are JSON texts.

A change here needs a migration beside it; a test compares the two.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

metadata = MetaData()

_Id = String(64)

epochs = Table(
    "epochs",
    metadata,
    Column("name", _Id, primary_key=True),
    Column("number", BigInteger, nullable=False),
    comment="`accounts` grows with every change of who may do what: other processes look for it.",
)

facts = Table(
    "facts",
    metadata,
    Column("name", _Id, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What a server must know of its database, such as the fingerprint of its secret.",
)

organizations = Table(
    "organizations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("display_color", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("data_residency", Text),
    Column("external_key_id", _Id),
    Column("created_at", Double, nullable=False),
    Column("archived_at", Double),
    Index("workspaces_by_organization", "organization_id", "created_at", "id"),
)

users = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", _Id, nullable=False),
    Column("added_at", Double, nullable=False),
    UniqueConstraint("organization_id", "email", name="one_user_per_email"),
    Index("users_by_organization", "organization_id", "added_at", "id"),
)

workspace_members = Table(
    "workspace_members",
    metadata,
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("organization_id", _Id, nullable=False),
    Column("workspace_role", _Id, nullable=False),
    Column("added_at", Double, nullable=False),
)

invites = Table(
    "invites",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("role", _Id, nullable=False),
    Column("status", _Id, nullable=False),
    Column("invited_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("accepted_at", Double),
    Index("invites_by_organization", "organization_id", "invited_at", "id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), nullable=False),
    Column("kind", _Id, nullable=False),
    Column("source", _Id, nullable=False, comment="made, or environment: valid where the operator sets it"),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("status", _Id, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", _Id, comment="the member it belongs to"),
    Column("expires_at", Double),
    Column("allowed_models", Text, nullable=False),
    Column("allowed_addresses", Text, nullable=False),
    Index("api_keys_by_organization", "organization_id", "created_at", "id"),
)

aws_keys = Table(
    "aws_keys",
    metadata,
    Column("access_key_id", _Id, primary_key=True),
    Column("key_id", _Id, ForeignKey("api_keys.id"), nullable=False, comment="the key that it signs for"),
    Column("organization_id", _Id, nullable=False),
    Column("secret", Text, nullable=False, comment="sealed: a signature is checked with the secret itself"),
    Index("aws_keys_by_key", "key_id"),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("party_kind", _Id, primary_key=True, comment="organization, workspace or key"),
    Column("party_id", _Id, primary_key=True),
    Column("model_class", String(256), primary_key=True, comment="empty for every class"),
    Column("type", _Id, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

spend_limits = Table(
    "spend_limits",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, ForeignKey("organizations.id"), nullable=False),
    Column("party_kind", _Id, nullable=False),
    Column("party_id", _Id, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("party_kind", "party_id", name="one_spend_limit_per_party"),
)

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "thinking_tokens",
    "web_searches",
    "input_cost",
    "cache_read_cost",
    "cache_write_5m_cost",
    "cache_write_1h_cost",
    "output_cost",
)
"""What a metered call sums up to. Costs are fixed when the call is metered, at the prices of that moment."""


def _counts() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in COUNTS]


usage = Table(
    "usage",
    metadata,
    Column("message_id", _Id, primary_key=True),
    Column("organization_id", _Id, nullable=False),
    Column("workspace_id", _Id, nullable=False),
    Column("key_id", _Id, nullable=False),
    Column("user_id", _Id, nullable=False, server_default=""),
    Column("model", String(256), nullable=False),
    Column("service_tier", _Id, nullable=False),
    Column("context_window", _Id, nullable=False),
    Column("client", _Id, nullable=False, server_default="", comment="claude_code, or nothing"),
    Column("started_at", Double, nullable=False, comment="when its engine started"),
    Column("latency_ms", Double, nullable=False),
    Column("first_token_ms", Double),
    Column("minute", BigInteger, nullable=False, comment="when it ended, in minutes since the epoch"),
    Column("ending", _Id, nullable=False, comment="done, failed, left by its client, or cut: the server died under it"),
    *_counts(),
    Index("usage_by_time", "organization_id", "minute"),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("organization_id", _Id, primary_key=True),
    Column("hour", BigInteger, primary_key=True, comment="when they ended, in hours since the epoch"),
    Column("workspace_id", _Id, primary_key=True),
    Column("key_id", _Id, primary_key=True),
    Column("user_id", _Id, primary_key=True, server_default=""),
    Column("model", String(256), primary_key=True),
    Column("service_tier", _Id, primary_key=True),
    Column("context_window", _Id, primary_key=True),
    Column("client", _Id, primary_key=True, server_default=""),
    Column("num_requests", BigInteger, nullable=False),
    *_counts(),
)

files = Table(
    "files",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, nullable=False),
    Column("workspace_id", _Id, nullable=False),
    Column("filename", Text, nullable=False),
    Column("mime_type", String(256), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of its bytes, and the name of its blob"),
    Column("is_downloadable", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Index("files_by_workspace", "organization_id", "workspace_id", "created_at", "id"),
    Index("files_by_digest", "digest"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("organization_id", _Id, nullable=False),
    Column("at", Double, nullable=False),
    Column("actor", _Id, nullable=False, comment="a key's id, or `operator` for the command line"),
    Column("address", _Id, comment="where the change came from; empty for the command line"),
    Column("action", _Id, nullable=False, comment="what was done, as api_key.created"),
    Column("target", _Id, nullable=False),
    Column("details", Text, nullable=False),
    Index("audit_by_organization", "organization_id", "id"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("organization_id", _Id, nullable=False),
    Column("workspace_id", _Id, nullable=False),
    Column("key_id", _Id, nullable=False, comment="who is charged, as in usage"),
    Column("user_id", _Id, nullable=False),
    Column("client", _Id, nullable=False),
    Column("allowed_models", Text, nullable=False),
    Column("version", _Id, nullable=False, comment="of the API, in which its requests are read"),
    Column("betas", Text, nullable=False),
    Column("state", _Id, nullable=False, comment="creating, in_progress, canceling, ended or deleted"),
    Column("num_requests", BigInteger, nullable=False),
    Column("num_succeeded", BigInteger, nullable=False),
    Column("num_errored", BigInteger, nullable=False),
    Column("num_canceled", BigInteger, nullable=False),
    Column("num_expired", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("cancel_initiated_at", Double),
    Column("archived_at", Double, comment="when its results were taken away"),
    Index("batches_by_workspace", "organization_id", "workspace_id", "created_at", "id"),
    Index("batches_by_state", "state", "created_at"),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", _Id, primary_key=True),
    Column("place", _Id, primary_key=True, comment="its turn: what begins alike stands together"),
    Column("custom_id", _Id, nullable=False),
    Column("request", Text, nullable=False, comment="as its client has sent it"),
    Column("lease", _Id, comment="of the worker that has it; with a new one, an old one is worth nothing"),
    Column("lease_until", Double, nullable=False, comment="without a lease: when it may be tried again"),
    Column("num_attempts", Integer, nullable=False),
    Index("batch_items_by_lease", "lease"),
    comment="What has no result yet. A request is here or in batch_results, never in both.",
)

batch_results = Table(
    "batch_results",
    metadata,
    Column("batch_id", _Id, primary_key=True),
    Column("custom_id", _Id, primary_key=True),
    Column("kind", _Id, nullable=False),
    Column("line", Text, comment="as it is handed out; of what was canceled or has expired, none is needed"),
)


def _leave_out_what_is_not_leased(table: Table, connection: Connection, **_: object) -> None:
    """Not where the index is declared: to name a database there is to import its dialect, used or not."""
    (index,) = table.indexes
    index.dialect_options[connection.dialect.name]["where"] = text("lease IS NOT NULL")


def _forbid_changes_of_the_audit() -> None:
    for change in ("UPDATE", "DELETE"):
        trigger = (
            f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )
        event.listen(audit, "after_create", DDL(trigger).execute_if(dialect="sqlite"))
    for part in (
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$",
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
    ):
        event.listen(audit, "after_create", DDL(part).execute_if(dialect="postgresql"))


event.listen(batch_items, "before_create", _leave_out_what_is_not_leased)
_forbid_changes_of_the_audit()
