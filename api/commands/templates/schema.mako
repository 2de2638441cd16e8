
${plural} = Table(
    "${plural}",
    metadata,
% if shared:
    Column("workspace_id", Uuid, nullable=False, server_default=text("app.current_workspace_id('viewer'::text)")),
% endif
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("user_id", Text, nullable=False, server_default=text("app.current_user_id()")),
% for field in fields:
    Column("${field.name}", ${field.sqlalchemy}${"" if field.optional else ", nullable=False"}),
% endfor
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("${tenant}", "id", name="${plural}_pkey"),
% if shared:
    ForeignKeyConstraint(
        ["workspace_id"], [workspaces.c.workspace_id], name="${plural}_workspace_id_fkey", ondelete="CASCADE"
    ),
% endif
)
