-- What this release means the members of a workspace to be able to do: the least role that each command needs, null if
-- nobody may. `partywall audit --prove` tries each command as each role and compares. It is declared here and not read
-- from the policies, which are what is tried. A table without a line has that of '*', for what app_api was granted: so a
-- table that is added needs no line, unless its members have other rights.
create or replace view audit.member_rights ("table", reads, lists, inserts, updates, deletes) as values
    ('*'::text, 'viewer'::text, null::text, 'editor'::text, 'editor'::text, 'editor'::text),
    ('app.workspaces', 'viewer', 'viewer', null, 'owner', 'owner'),
    ('app.members', 'viewer', null, null, 'owner', 'owner'),
    ('app.invitations', 'owner', null, 'owner', null, 'owner'),
    ('app.workspace_tasks', 'viewer', null, 'editor', 'editor', 'editor');

comment on view audit.member_rights is
    'The least role that a member needs for each command on a table of workspaces, as the release means it.';
comment on column audit.member_rights."table" is 'The table; * is every other one with a column workspace_id.';
comment on column audit.member_rights.reads is 'For SELECT, by a caller who acts in the workspace of the row.';
comment on column audit.member_rights.lists is 'For SELECT, by a caller who acts in no workspace: to choose one.';
comment on column audit.member_rights.updates is 'For UPDATE and SELECT FOR UPDATE.';
comment on column audit.member_rights.deletes is 'For DELETE. Of app.members everybody may delete themselves: they leave.';
