-- What db/roles.sql and the migrations make, in the words of pg_dump. Nothing runs this file: it is here to be read,
-- and to show in a diff what a migration changed. After one: make schema
-- Not in it: schema audit, whose source is db/audit/; the roles themselves, whose source is db/roles.sql.

CREATE SCHEMA app;

ALTER SCHEMA app OWNER TO app_owner;

COMMENT ON SCHEMA app IS 'Tenant tables. Every row belongs to one user or one workspace, and row-level security shows it to nobody else.';

CREATE SCHEMA migrations;

ALTER SCHEMA migrations OWNER TO app_owner;

COMMENT ON SCHEMA migrations IS 'The revision of the schema, kept by Alembic.';

CREATE FUNCTION app.accept_invitation(token_hash bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    invitation record;
begin
    execute format('set local app.invitation = %L', coalesce(encode(accept_invitation.token_hash, 'hex'), ''));
    update app.invitations as i set accepted_at = now(), accepted_by = app.current_user_id()
    where i.token_hash = accept_invitation.token_hash and i.accepted_at is null and i.expires_at > now()
    returning i.workspace_id, i.role into invitation;
    if found then
        insert into app.members (workspace_id, user_id, role)
        values (invitation.workspace_id, app.current_user_id(), invitation.role);
    end if;
    return invitation.workspace_id;
end
$$;

ALTER FUNCTION app.accept_invitation(token_hash bytea) OWNER TO app_owner;

COMMENT ON FUNCTION app.accept_invitation(token_hash bytea) IS 'Makes the caller a member by the invitation whose token has this SHA-256, and returns the workspace; null if there
is none, or it was accepted, has expired or was revoked. Of two at the same moment the second waits for the first, and
finds it accepted. Fails with members_pkey, and leaves the invitation as it is, if the caller is a member already.
SECURITY DEFINER, because whoever is invited sees neither invitations nor members. Safe: the caller shows by the token
that an owner wants somebody to have this role; it sees one invitation, by its hash, and makes nobody but the caller a
member.';

CREATE FUNCTION app.create_workspace(called text) RETURNS TABLE(id uuid, name text, role text, created_at timestamp with time zone, updated_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    new_id uuid;
begin
    if to_regprocedure('pg_catalog.uuidv7()') is null then -- before PostgreSQL 18
        new_id := uuidv7();
    else
        new_id := pg_catalog.uuidv7();
    end if;
    insert into app.workspaces (workspace_id, name) values (new_id, called);
    insert into app.members (workspace_id, user_id, role) values (new_id, app.current_user_id(), 'owner');
    return query select new_id, called, 'owner', now(), now();
end
$$;

ALTER FUNCTION app.create_workspace(called text) OWNER TO app_owner;

COMMENT ON FUNCTION app.create_workspace(called text) IS 'Creates a workspace of this name and makes the caller its first owner, in one statement: so there is none without.
SECURITY DEFINER, because nobody is granted to insert members. Safe: it takes nothing but a name, the workspace is
new, and app_owner can make nobody but the caller a member (members_are_the_callers_who_join). Without a caller it
fails.';

CREATE FUNCTION app.current_memberships() RETURNS TABLE(workspace_id uuid, user_id text, role text, updated_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 PARALLEL SAFE
    SET search_path TO ''
    AS $$
    select m.workspace_id, m.user_id, m.role, m.updated_at from app.members as m
    where m.user_id = app.current_user_id() and m.workspace_id = coalesce(app.requested_workspace_id(), m.workspace_id)
$$;

ALTER FUNCTION app.current_memberships() OWNER TO app_owner;

COMMENT ON FUNCTION app.current_memberships() IS 'The caller''s own memberships; while the caller acts in a workspace, only the one in it. SECURITY DEFINER for the
same reason as app.current_workspace_id(), and no more is visible to it.';

CREATE FUNCTION app.current_user_id() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.user_id'::text, true), ''::text);

ALTER FUNCTION app.current_user_id() OWNER TO app_owner;

COMMENT ON FUNCTION app.current_user_id() IS 'The caller, as the API set it with "set local app.user_id" in this transaction; null when nobody did, and
null equals no row. An unset setting reads as null before the first "set local" on a connection and as the empty
string after it, hence nullif. STABLE, never IMMUTABLE: an immutable function would be folded into a cached
plan together with the previous caller.';

CREATE FUNCTION app.current_workspace_id(at_least text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER COST 1e+06 PARALLEL SAFE
    SET search_path TO ''
    AS $$
    select m.workspace_id from app.members as m
    where m.workspace_id = app.requested_workspace_id() and m.user_id = app.current_user_id()
        and case at_least
            when 'viewer' then m.role in ('viewer', 'editor', 'owner')
            when 'editor' then m.role in ('editor', 'owner')
            when 'owner' then m.role = 'owner'
        end
$$;

ALTER FUNCTION app.current_workspace_id(at_least text) OWNER TO app_owner;

COMMENT ON FUNCTION app.current_workspace_id(at_least text) IS 'The workspace in which the caller acts, if the caller is a member with at least this role (viewer, editor, owner);
else null, and null equals no row. For policies: it takes no column of the row, so a statement that names its workspace
evaluates it once, before it reads any row, and one that does not, once per scan of an index: COST keeps the planner
from reading all rows and evaluating it for each, also when the indexes are much larger than the table. WITH CHECK
evaluates it for each row that is written. STABLE, never IMMUTABLE: it reads a setting and a table. SECURITY DEFINER,
because members are visible to members only, which is what it decides; as app_owner it sees the caller''s own membership
and no other, by members_of_the_caller_decide and by its own condition.';

CREATE FUNCTION app.current_workspace_ids() RETURNS uuid[]
    LANGUAGE sql STABLE COST 1e+06 PARALLEL SAFE
    SET search_path TO ''
    AS $$ select array(select m.workspace_id from app.current_memberships() as m) $$;

ALTER FUNCTION app.current_workspace_ids() OWNER TO app_owner;

COMMENT ON FUNCTION app.current_workspace_ids() IS 'The workspaces whose names the caller may read: those of app.current_memberships(). Only the policy of
app.workspaces compares with it. Everything else in a workspace is for callers who act in that one.';

CREATE FUNCTION app.keep_an_owner() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    found_workspaces bigint;
begin
    -- Changed, not only locked: of two owners who leave at the same time, the second waits here and then sees that the
    -- first has left, or fails to serialize.
    execute format('update %s set name = name where workspace_id = $1', app.on_this_node('app.workspaces'))
        using old.workspace_id;
    get diagnostics found_workspaces = row_count;
    if found_workspaces = 0 and not row_security_active('app.workspaces') then
        return old; -- nothing hides it: the workspace itself is being deleted
    end if;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from old.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    if not exists (
        select from app.members
        where workspace_id = old.workspace_id and role = 'owner' and user_id <> old.user_id
    ) then
        raise check_violation using
            message = 'a workspace has at least one owner: constraint "members_keep_an_owner"', table = 'members',
            schema = 'app', constraint = 'members_keep_an_owner';
    end if;
    -- Who was an owner must not come back by an invitation of their own.
    execute format('delete from %s where workspace_id = $1 and user_id = $2 and accepted_at is null',
        app.on_this_node('app.invitations')) using old.workspace_id, old.user_id;
    return coalesce(new, old);
end
$_$;

ALTER FUNCTION app.keep_an_owner() OWNER TO app_owner;

COMMENT ON FUNCTION app.keep_an_owner() IS 'Before an owner leaves, is removed or steps down: refuses that to the last owner of a workspace, and deletes the
open invitations that this owner made. With the rights of the caller, who has to be an owner for either: one who has
ceased to be, in this statement or while it waited, fails to serialize.';

CREATE FUNCTION app.keep_invitations_of_owners() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    -- The same change as in app.keep_an_owner(): one of the two waits for the other, and sees what it did.
    execute format('update %s set name = name where workspace_id = $1', app.on_this_node('app.workspaces'))
        using new.workspace_id;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from new.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    return null;
end
$_$;

ALTER FUNCTION app.keep_invitations_of_owners() OWNER TO app_owner;

COMMENT ON FUNCTION app.keep_invitations_of_owners() IS 'After an invitation is made: fails to serialize if whoever made it has ceased to be an owner meanwhile, so that no
open invitation of theirs is left. The policy cannot see that: it is evaluated as of the start of the statement.';

CREATE FUNCTION app.keep_task_timestamps() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := greatest(now(), old.updated_at + interval '1 microsecond'); -- as app.keep_updated_at() does
    end if;
    new.completed_at := case when new.completed then coalesce(new.completed_at, new.updated_at) end;
    return new;
end
$$;

ALTER FUNCTION app.keep_task_timestamps() OWNER TO app_owner;

COMMENT ON FUNCTION app.keep_task_timestamps() IS 'updated_at moves forward with every update; completed_at is set to the same instant when completed turns true,
and cleared when it turns false.';

CREATE FUNCTION app.keep_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.updated_at := greatest(now(), old.updated_at + interval '1 microsecond');
    return new;
end
$$;

ALTER FUNCTION app.keep_updated_at() OWNER TO app_owner;

COMMENT ON FUNCTION app.keep_updated_at() IS 'For a trigger before update. Moves updated_at forward with every change of a row, also with two in one
transaction and when the clock was set back: the API uses it as the version of the row, its ETag.';

CREATE FUNCTION app.on_this_node(relation regclass) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    name text;
begin
    if to_regclass('pg_catalog.pg_dist_shard') is not null then
        execute 'select format(''%I.%I'', n.nspname, c.relname || ''_'' || s.shardid)
            from pg_catalog.pg_dist_shard as s
            join pg_catalog.pg_class as c on c.oid = s.logicalrelid
            join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            where s.logicalrelid = $1' into name using relation;
    end if;
    return coalesce(name, relation::text);
end
$_$;

ALTER FUNCTION app.on_this_node(relation regclass) OWNER TO app_owner;

COMMENT ON FUNCTION app.on_this_node(relation regclass) IS 'The name of a table; on a Citus cluster, that of the copy which this node has of a reference table. A trigger fires
on each node, and writes there.';

CREATE FUNCTION app.requested_workspace_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('app.workspace_id'::text, true), ''::text))::uuid;

ALTER FUNCTION app.requested_workspace_id() OWNER TO app_owner;

COMMENT ON FUNCTION app.requested_workspace_id() IS 'The workspace in which the caller wants to act, as the API set it with "set local app.workspace_id" in this
transaction; null when it did not. It says nothing about membership: no policy of app_api compares a row
with it.';

CREATE TABLE app.idempotency_keys (
    user_id text DEFAULT app.current_user_id() NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    location text,
    etag text,
    body text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_length CHECK (((char_length(key) >= 1) AND (char_length(key) <= 255))),
    CONSTRAINT idempotency_keys_status_is_success CHECK (((status >= 200) AND (status <= 299))),
    CONSTRAINT idempotency_keys_user_id_valid CHECK ((((char_length(user_id) >= 1) AND (char_length(user_id) <= 255)) AND (user_id !~ '[\x01-\x1f\x7f-\x9f]'::text)))
);

ALTER TABLE ONLY app.idempotency_keys FORCE ROW LEVEL SECURITY;

ALTER TABLE app.idempotency_keys OWNER TO app_owner;

COMMENT ON TABLE app.idempotency_keys IS 'The responses to requests with the header Idempotency-Key, kept for 24 hours to be sent again.';

COMMENT ON COLUMN app.idempotency_keys.user_id IS 'Who sent the key. Another user''s key is another key.';

COMMENT ON COLUMN app.idempotency_keys.key IS 'The key, as the client chose it.';

COMMENT ON COLUMN app.idempotency_keys.fingerprint IS 'SHA-256 of method, path and body of the request: the key belongs to it alone.';

COMMENT ON COLUMN app.idempotency_keys.status IS 'The status of the response.';

COMMENT ON COLUMN app.idempotency_keys.location IS 'Its header Location; null if it had none. No foreign key: the response is repeated even if the row is gone.';

COMMENT ON COLUMN app.idempotency_keys.etag IS 'Its header ETag; null if it had none.';

COMMENT ON COLUMN app.idempotency_keys.body IS 'Its body: JSON, the row as it was created.';

COMMENT ON COLUMN app.idempotency_keys.created_at IS 'When the key was first used. It expires 24 hours later.';

COMMENT ON CONSTRAINT idempotency_keys_key_length ON app.idempotency_keys IS 'The API checks it first; this holds always.';

COMMENT ON CONSTRAINT idempotency_keys_status_is_success ON app.idempotency_keys IS 'A request that failed left nothing behind, and may be sent again with the same key.';

COMMENT ON CONSTRAINT idempotency_keys_user_id_valid ON app.idempotency_keys IS 'What the API accepts as a user id: no control characters.';

CREATE TABLE app.invitations (
    workspace_id uuid DEFAULT app.current_workspace_id('viewer'::text) NOT NULL,
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id text DEFAULT app.current_user_id() NOT NULL,
    role text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    accepted_by text,
    CONSTRAINT invitations_accepted_by_somebody CHECK (((accepted_at IS NULL) = (accepted_by IS NULL))),
    CONSTRAINT invitations_expire CHECK ((expires_at > created_at)),
    CONSTRAINT invitations_role_known CHECK ((role = ANY (ARRAY['viewer'::text, 'editor'::text, 'owner'::text]))),
    CONSTRAINT invitations_token_hash_is_sha256 CHECK ((octet_length(token_hash) = 32)),
    CONSTRAINT invitations_user_id_valid CHECK ((((char_length(user_id) >= 1) AND (char_length(user_id) <= 255)) AND (user_id !~ '[\x01-\x1f\x7f-\x9f]'::text)))
);

ALTER TABLE ONLY app.invitations FORCE ROW LEVEL SECURITY;

ALTER TABLE app.invitations OWNER TO app_owner;

COMMENT ON TABLE app.invitations IS 'Whoever has the token of one may become a member, once, until it expires.';

COMMENT ON COLUMN app.invitations.workspace_id IS 'The workspace that it invites to.';

COMMENT ON COLUMN app.invitations.id IS 'UUID version 7: sorts by the time of creation.';

COMMENT ON COLUMN app.invitations.user_id IS 'The owner who made it: "sub" of the JWT. If they cease to be one before it is accepted, it is deleted.';

COMMENT ON COLUMN app.invitations.role IS 'What whoever accepts it becomes.';

COMMENT ON COLUMN app.invitations.token_hash IS 'SHA-256 of the token. The token has 256 random bits, so its hash needs no salt; it is kept nowhere. Not granted to
app_api: nobody reads it.';

COMMENT ON COLUMN app.invitations.created_at IS 'When it was made.';

COMMENT ON COLUMN app.invitations.updated_at IS 'When it was accepted; created_at if never. Strictly increasing: the API''s version of the row.';

COMMENT ON COLUMN app.invitations.expires_at IS 'From then on nobody can accept it. The API sets it: INVITATION_LIFETIME.';

COMMENT ON COLUMN app.invitations.accepted_at IS 'When somebody accepted it; null if nobody did.';

COMMENT ON COLUMN app.invitations.accepted_by IS 'Who accepted it: "sub" of the JWT.';

COMMENT ON CONSTRAINT invitations_accepted_by_somebody ON app.invitations IS 'Both are set together.';

COMMENT ON CONSTRAINT invitations_expire ON app.invitations IS 'None is made that has expired already.';

COMMENT ON CONSTRAINT invitations_role_known ON app.invitations IS 'The same as members_role_known.';

COMMENT ON CONSTRAINT invitations_token_hash_is_sha256 ON app.invitations IS 'Not the token by mistake.';

COMMENT ON CONSTRAINT invitations_user_id_valid ON app.invitations IS 'What the API accepts as a user id: no control characters.';

CREATE TABLE app.members (
    workspace_id uuid NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL,
    joined_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT members_role_known CHECK ((role = ANY (ARRAY['viewer'::text, 'editor'::text, 'owner'::text]))),
    CONSTRAINT members_user_id_valid CHECK ((((char_length(user_id) >= 1) AND (char_length(user_id) <= 255)) AND (user_id !~ '[\x01-\x1f\x7f-\x9f]'::text)))
);

ALTER TABLE ONLY app.members FORCE ROW LEVEL SECURITY;

ALTER TABLE app.members OWNER TO app_owner;

COMMENT ON TABLE app.members IS 'Who belongs to a workspace, and what they may do there. Every policy of a workspace asks it.';

COMMENT ON COLUMN app.members.workspace_id IS 'The workspace.';

COMMENT ON COLUMN app.members.user_id IS 'The member: "sub" of the JWT.';

COMMENT ON COLUMN app.members.role IS 'viewer: reads. editor: also adds, changes and deletes tasks. owner: also changes the workspace, its members and its
invitations.';

COMMENT ON COLUMN app.members.joined_at IS 'When they created the workspace or accepted an invitation.';

COMMENT ON COLUMN app.members.updated_at IS 'When their role was last changed; joined_at if never. Strictly increasing: the API''s version of the row.';

COMMENT ON CONSTRAINT members_role_known ON app.members IS 'The roles that app.current_workspace_id() knows. One that it does not know would give no right.';

COMMENT ON CONSTRAINT members_user_id_valid ON app.members IS 'What the API accepts as a user id: no control characters.';

CREATE TABLE app.tasks (
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id text DEFAULT app.current_user_id() NOT NULL,
    text text NOT NULL,
    completed boolean DEFAULT false NOT NULL,
    "order" integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    CONSTRAINT tasks_completed_at_if_completed CHECK ((completed = (completed_at IS NOT NULL))),
    CONSTRAINT tasks_text_length CHECK (((char_length(text) >= 1) AND (char_length(text) <= 500))),
    CONSTRAINT tasks_text_not_blank CHECK ((text ~ '\S'::text)),
    CONSTRAINT tasks_user_id_valid CHECK ((((char_length(user_id) >= 1) AND (char_length(user_id) <= 255)) AND (user_id !~ '[\x01-\x1f\x7f-\x9f]'::text)))
);

ALTER TABLE ONLY app.tasks FORCE ROW LEVEL SECURITY;

ALTER TABLE app.tasks OWNER TO app_owner;

COMMENT ON TABLE app.tasks IS 'To-do items. Each belongs to one user; nobody else can tell that it exists.';

COMMENT ON COLUMN app.tasks.id IS 'UUID version 7: sorts by the time of creation.';

COMMENT ON COLUMN app.tasks.user_id IS 'The owner: "sub" of the JWT. Leads every key, so that no key can tell another user that a row exists.';

COMMENT ON COLUMN app.tasks.text IS 'What to do: 1 to 500 characters, not only white space.';

COMMENT ON COLUMN app.tasks.completed IS 'Whether it is done.';

COMMENT ON COLUMN app.tasks."order" IS 'The position in the owner''s list, smallest first. Ties are allowed; id breaks them.';

COMMENT ON COLUMN app.tasks.created_at IS 'When the row was added.';

COMMENT ON COLUMN app.tasks.updated_at IS 'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.';

COMMENT ON COLUMN app.tasks.completed_at IS 'When completed last turned true; null while it is false.';

COMMENT ON CONSTRAINT tasks_completed_at_if_completed ON app.tasks IS 'The trigger keeps it; this proves it.';

COMMENT ON CONSTRAINT tasks_text_length ON app.tasks IS 'The API checks it first; this holds whoever writes.';

COMMENT ON CONSTRAINT tasks_text_not_blank ON app.tasks IS 'The API checks it first; this holds whoever writes.';

COMMENT ON CONSTRAINT tasks_user_id_valid ON app.tasks IS 'What the API accepts as a user id: no control characters.';

CREATE TABLE app.workspace_tasks (
    workspace_id uuid DEFAULT app.current_workspace_id('viewer'::text) NOT NULL,
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id text DEFAULT app.current_user_id() NOT NULL,
    text text NOT NULL,
    completed boolean DEFAULT false NOT NULL,
    "order" integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    CONSTRAINT workspace_tasks_completed_at_if_completed CHECK ((completed = (completed_at IS NOT NULL))),
    CONSTRAINT workspace_tasks_text_length CHECK (((char_length(text) >= 1) AND (char_length(text) <= 500))),
    CONSTRAINT workspace_tasks_text_not_blank CHECK ((text ~ '\S'::text)),
    CONSTRAINT workspace_tasks_user_id_valid CHECK ((((char_length(user_id) >= 1) AND (char_length(user_id) <= 255)) AND (user_id !~ '[\x01-\x1f\x7f-\x9f]'::text)))
);

ALTER TABLE ONLY app.workspace_tasks FORCE ROW LEVEL SECURITY;

ALTER TABLE app.workspace_tasks OWNER TO app_owner;

COMMENT ON TABLE app.workspace_tasks IS 'To-do items that the members of a workspace share.';

COMMENT ON COLUMN app.workspace_tasks.workspace_id IS 'The workspace. Leads every key.';

COMMENT ON COLUMN app.workspace_tasks.id IS 'UUID version 7: sorts by the time of creation.';

COMMENT ON COLUMN app.workspace_tasks.user_id IS 'Who added it: "sub" of the JWT. They may have left since.';

COMMENT ON COLUMN app.workspace_tasks.text IS 'What to do: 1 to 500 characters, not only white space.';

COMMENT ON COLUMN app.workspace_tasks.completed IS 'Whether it is done.';

COMMENT ON COLUMN app.workspace_tasks."order" IS 'The position in the workspace''s list, smallest first. Ties are allowed; id breaks them.';

COMMENT ON COLUMN app.workspace_tasks.created_at IS 'When the row was added.';

COMMENT ON COLUMN app.workspace_tasks.updated_at IS 'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.';

COMMENT ON COLUMN app.workspace_tasks.completed_at IS 'When completed last turned true; null while it is false.';

COMMENT ON CONSTRAINT workspace_tasks_completed_at_if_completed ON app.workspace_tasks IS 'The trigger keeps it; this proves it.';

COMMENT ON CONSTRAINT workspace_tasks_text_length ON app.workspace_tasks IS 'The API checks it first; this holds whoever writes.';

COMMENT ON CONSTRAINT workspace_tasks_text_not_blank ON app.workspace_tasks IS 'The API checks it first; this holds whoever writes.';

COMMENT ON CONSTRAINT workspace_tasks_user_id_valid ON app.workspace_tasks IS 'What the API accepts as a user id: no control characters.';

CREATE TABLE app.workspaces (
    workspace_id uuid DEFAULT uuidv7() NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspaces_name_length CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100))),
    CONSTRAINT workspaces_name_not_blank CHECK ((name ~ '\S'::text))
);

ALTER TABLE ONLY app.workspaces FORCE ROW LEVEL SECURITY;

ALTER TABLE app.workspaces OWNER TO app_owner;

COMMENT ON TABLE app.workspaces IS 'What people share: a name, its members, their invitations and their tasks. Deleting one deletes all of that.';

COMMENT ON COLUMN app.workspaces.workspace_id IS 'UUID version 7. Leads every key of what the workspace has.';

COMMENT ON COLUMN app.workspaces.name IS 'What its members call it: 1 to 100 characters, not only white space.';

COMMENT ON COLUMN app.workspaces.created_at IS 'When it was created, with its first owner.';

COMMENT ON COLUMN app.workspaces.updated_at IS 'When its name was last changed; created_at if never. Strictly increasing.';

COMMENT ON CONSTRAINT workspaces_name_length ON app.workspaces IS 'The API checks it first; this holds whoever writes.';

COMMENT ON CONSTRAINT workspaces_name_not_blank ON app.workspaces IS 'The API checks it first; this holds whoever writes.';

CREATE TABLE migrations.alembic_version (
    version_num character varying(32) NOT NULL
);

ALTER TABLE migrations.alembic_version OWNER TO app_owner;

COMMENT ON TABLE migrations.alembic_version IS 'The revision of the schema, kept by Alembic. The schema includes these revisions: 0001 0002 0003 0004 0005';

ALTER TABLE ONLY app.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);

COMMENT ON CONSTRAINT idempotency_keys_pkey ON app.idempotency_keys IS 'One response per key and user.';

ALTER TABLE ONLY app.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (workspace_id, id);

COMMENT ON CONSTRAINT invitations_pkey ON app.invitations IS 'Serves the policies and the list.';

ALTER TABLE ONLY app.invitations
    ADD CONSTRAINT invitations_token_hash_key UNIQUE (token_hash);

COMMENT ON CONSTRAINT invitations_token_hash_key ON app.invitations IS 'Serves app.accept_invitation(), which does not know the workspace. That a hash exists already can be found out only
by whoever knows it: it is that of 256 random bits.';

ALTER TABLE ONLY app.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (workspace_id, user_id);

COMMENT ON CONSTRAINT members_pkey ON app.members IS 'One role per member. Serves app.current_workspace_id() and the list.';

ALTER TABLE ONLY app.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (user_id, id);

COMMENT ON CONSTRAINT tasks_pkey ON app.tasks IS 'Serves the policy, the point read and the list by age.';

ALTER TABLE ONLY app.workspace_tasks
    ADD CONSTRAINT workspace_tasks_pkey PRIMARY KEY (workspace_id, id);

COMMENT ON CONSTRAINT workspace_tasks_pkey ON app.workspace_tasks IS 'Serves the policies, the point read and the list by age.';

ALTER TABLE ONLY app.workspaces
    ADD CONSTRAINT workspaces_pkey PRIMARY KEY (workspace_id);

COMMENT ON CONSTRAINT workspaces_pkey ON app.workspaces IS 'Serves the policies, and every foreign key.';

ALTER TABLE ONLY migrations.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

CREATE INDEX members_by_user ON app.members USING btree (user_id, workspace_id);

COMMENT ON INDEX app.members_by_user IS 'Serves app.current_memberships(): of one user, in whichever workspaces. It cannot lead with workspace_id.';

CREATE INDEX tasks_by_completed_age ON app.tasks USING btree (user_id, completed, id);

COMMENT ON INDEX app.tasks_by_completed_age IS 'Serves the list by age of what is done, or is not: ids are made at creation and sort by time.';

CREATE INDEX tasks_by_completed_order ON app.tasks USING btree (user_id, completed, "order", id);

COMMENT ON INDEX app.tasks_by_completed_order IS 'Serves the list by position of what is done, or is not.';

CREATE INDEX tasks_by_order ON app.tasks USING btree (user_id, "order", id);

COMMENT ON INDEX app.tasks_by_order IS 'Serves the list by position: one range of one user, page by page.';

CREATE INDEX workspace_tasks_by_completed_age ON app.workspace_tasks USING btree (workspace_id, completed, id);

COMMENT ON INDEX app.workspace_tasks_by_completed_age IS 'Serves the list by age of what is done, or is not.';

CREATE INDEX workspace_tasks_by_completed_order ON app.workspace_tasks USING btree (workspace_id, completed, "order", id);

COMMENT ON INDEX app.workspace_tasks_by_completed_order IS 'Serves the list by position of what is done, or is not.';

CREATE INDEX workspace_tasks_by_order ON app.workspace_tasks USING btree (workspace_id, "order", id);

COMMENT ON INDEX app.workspace_tasks_by_order IS 'Serves the list by position: one range of one workspace, page by page.';

CREATE TRIGGER invitations_are_of_owners AFTER INSERT ON app.invitations FOR EACH ROW EXECUTE FUNCTION app.keep_invitations_of_owners();

COMMENT ON TRIGGER invitations_are_of_owners ON app.invitations IS 'See app.keep_invitations_of_owners().';

CREATE TRIGGER invitations_updated_at BEFORE UPDATE ON app.invitations FOR EACH ROW EXECUTE FUNCTION app.keep_updated_at();

COMMENT ON TRIGGER invitations_updated_at ON app.invitations IS 'Keeps updated_at, which nobody is granted to write.';

CREATE TRIGGER members_keep_an_owner_who_leaves BEFORE DELETE ON app.members FOR EACH ROW WHEN ((old.role = 'owner'::text)) EXECUTE FUNCTION app.keep_an_owner();

COMMENT ON TRIGGER members_keep_an_owner_who_leaves ON app.members IS 'See app.keep_an_owner().';

CREATE TRIGGER members_keep_an_owner_who_steps_down BEFORE UPDATE ON app.members FOR EACH ROW WHEN (((old.role = 'owner'::text) AND (new.role <> 'owner'::text))) EXECUTE FUNCTION app.keep_an_owner();

COMMENT ON TRIGGER members_keep_an_owner_who_steps_down ON app.members IS 'See app.keep_an_owner().';

CREATE TRIGGER members_updated_at BEFORE UPDATE ON app.members FOR EACH ROW EXECUTE FUNCTION app.keep_updated_at();

COMMENT ON TRIGGER members_updated_at ON app.members IS 'Keeps updated_at, which nobody is granted to write.';

CREATE TRIGGER tasks_timestamps BEFORE INSERT OR UPDATE ON app.tasks FOR EACH ROW EXECUTE FUNCTION app.keep_task_timestamps();

COMMENT ON TRIGGER tasks_timestamps ON app.tasks IS 'Keeps updated_at and completed_at, which nobody is granted to write.';

CREATE TRIGGER workspace_tasks_timestamps BEFORE INSERT OR UPDATE ON app.workspace_tasks FOR EACH ROW EXECUTE FUNCTION app.keep_task_timestamps();

COMMENT ON TRIGGER workspace_tasks_timestamps ON app.workspace_tasks IS 'Keeps updated_at and completed_at, which nobody is granted to write.';

CREATE TRIGGER workspaces_updated_at BEFORE UPDATE ON app.workspaces FOR EACH ROW WHEN ((new.name <> old.name)) EXECUTE FUNCTION app.keep_updated_at();

COMMENT ON TRIGGER workspaces_updated_at ON app.workspaces IS 'Keeps updated_at, which nobody is granted to write.';

ALTER TABLE ONLY app.invitations
    ADD CONSTRAINT invitations_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES app.workspaces(workspace_id) ON DELETE CASCADE;

COMMENT ON CONSTRAINT invitations_workspace_id_fkey ON app.invitations IS 'Nobody is invited to a workspace that is gone.';

ALTER TABLE ONLY app.members
    ADD CONSTRAINT members_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES app.workspaces(workspace_id) ON DELETE CASCADE;

COMMENT ON CONSTRAINT members_workspace_id_fkey ON app.members IS 'Nobody belongs to a workspace that is gone.';

ALTER TABLE ONLY app.workspace_tasks
    ADD CONSTRAINT workspace_tasks_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES app.workspaces(workspace_id) ON DELETE CASCADE;

COMMENT ON CONSTRAINT workspace_tasks_workspace_id_fkey ON app.workspace_tasks IS 'No task is left of a workspace that is gone.';

ALTER TABLE app.idempotency_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY idempotency_keys_belong_to_their_user ON app.idempotency_keys TO app_api USING ((user_id = app.current_user_id())) WITH CHECK ((user_id = app.current_user_id()));

COMMENT ON POLICY idempotency_keys_belong_to_their_user ON app.idempotency_keys IS 'A caller reads, adds and deletes its own keys.';

CREATE POLICY idempotency_keys_expire ON app.idempotency_keys TO app_owner USING ((created_at < (now() - '24:00:00'::interval))) WITH CHECK (false);

COMMENT ON POLICY idempotency_keys_expire ON app.idempotency_keys IS 'partywall clean deletes what is older than a day, as app_owner; nothing younger is visible to it.';

ALTER TABLE app.invitations ENABLE ROW LEVEL SECURITY;

CREATE POLICY invitations_are_accepted_once ON app.invitations FOR UPDATE TO app_owner USING (((token_hash = decode(current_setting('app.invitation'::text, true), 'hex'::text)) AND (accepted_at IS NULL) AND (expires_at > now()))) WITH CHECK ((accepted_by = app.current_user_id()));

COMMENT ON POLICY invitations_are_accepted_once ON app.invitations IS 'app.accept_invitation() marks it as accepted by the caller, if nobody has accepted it and it has not expired.';

CREATE POLICY invitations_are_found_by_their_token ON app.invitations FOR SELECT TO app_owner USING ((token_hash = decode(current_setting('app.invitation'::text, true), 'hex'::text)));

COMMENT ON POLICY invitations_are_found_by_their_token ON app.invitations IS 'What app.accept_invitation() sees as app_owner: the one with the hash that it was given.';

CREATE POLICY invitations_are_made_by_owners ON app.invitations FOR INSERT TO app_api WITH CHECK ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY invitations_are_made_by_owners ON app.invitations IS 'An owner invites to the workspace it acts in.';

CREATE POLICY invitations_are_read_by_owners ON app.invitations FOR SELECT TO app_api USING ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY invitations_are_read_by_owners ON app.invitations IS 'An owner sees those of the workspace it acts in.';

CREATE POLICY invitations_are_revoked_by_owners ON app.invitations FOR DELETE TO app_api USING ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY invitations_are_revoked_by_owners ON app.invitations IS 'An owner deletes those of the workspace it acts in. There is no policy for update: nothing of one is changed.';

ALTER TABLE app.members ENABLE ROW LEVEL SECURITY;

CREATE POLICY members_are_changed_by_owners ON app.members FOR UPDATE TO app_api USING ((workspace_id = app.current_workspace_id('owner'::text))) WITH CHECK ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY members_are_changed_by_owners ON app.members IS 'An owner changes roles in the workspace it acts in.';

CREATE POLICY members_are_read_by_members ON app.members FOR SELECT TO app_api USING ((workspace_id = app.current_workspace_id('viewer'::text)));

COMMENT ON POLICY members_are_read_by_members ON app.members IS 'A member sees who else is in the workspace it acts in. The function reads this table as app_owner, for whom another
policy holds: so this one does not call itself.';

CREATE POLICY members_are_removed_by_owners_or_leave ON app.members FOR DELETE TO app_api USING (((workspace_id = app.current_workspace_id('viewer'::text)) AND ((user_id = app.current_user_id()) OR (app.current_workspace_id('owner'::text) IS NOT NULL))));

COMMENT ON POLICY members_are_removed_by_owners_or_leave ON app.members IS 'A member leaves the workspace it acts in; an owner removes anybody from it. Whether the caller is an owner is asked
once more for each row of another member.';

CREATE POLICY members_are_the_callers_who_join ON app.members FOR INSERT TO app_owner WITH CHECK ((user_id = app.current_user_id()));

COMMENT ON POLICY members_are_the_callers_who_join ON app.members IS 'app.create_workspace() and app.accept_invitation() make the caller a member as app_owner, and nobody else.';

CREATE POLICY members_of_the_caller_decide ON app.members FOR SELECT TO app_owner USING (((user_id = app.current_user_id()) AND (workspace_id = COALESCE(app.requested_workspace_id(), workspace_id))));

COMMENT ON POLICY members_of_the_caller_decide ON app.members IS 'What functions that run as app_owner see of this table: the caller''s own memberships, whoever calls them.
While the caller acts in a workspace, only the one in it. It calls no function that reads this table: nothing
recurses.';

ALTER TABLE app.tasks ENABLE ROW LEVEL SECURITY;

CREATE POLICY tasks_are_explained_by_their_owner ON app.tasks FOR SELECT TO app_owner USING (((current_setting('audit.explaining'::text, true) = 'on'::text) AND pg_has_role(SESSION_USER, 'app_owner'::name, 'member'::text)));

COMMENT ON POLICY tasks_are_explained_by_their_owner ON app.tasks IS 'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could drop
the policies anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.';

CREATE POLICY tasks_belong_to_their_user ON app.tasks TO app_api USING ((user_id = app.current_user_id())) WITH CHECK ((user_id = app.current_user_id()));

COMMENT ON POLICY tasks_belong_to_their_user ON app.tasks IS 'A caller reads, adds, changes and deletes its own tasks. No caller, no rows: null equals nothing.';

ALTER TABLE app.workspace_tasks ENABLE ROW LEVEL SECURITY;

CREATE POLICY workspace_tasks_are_added_by_editors ON app.workspace_tasks FOR INSERT TO app_api WITH CHECK ((workspace_id = app.current_workspace_id('editor'::text)));

COMMENT ON POLICY workspace_tasks_are_added_by_editors ON app.workspace_tasks IS 'Editors and owners.';

CREATE POLICY workspace_tasks_are_changed_by_editors ON app.workspace_tasks FOR UPDATE TO app_api USING ((workspace_id = app.current_workspace_id('editor'::text))) WITH CHECK ((workspace_id = app.current_workspace_id('editor'::text)));

COMMENT ON POLICY workspace_tasks_are_changed_by_editors ON app.workspace_tasks IS 'Editors and owners, before and after.';

CREATE POLICY workspace_tasks_are_deleted_by_editors ON app.workspace_tasks FOR DELETE TO app_api USING ((workspace_id = app.current_workspace_id('editor'::text)));

COMMENT ON POLICY workspace_tasks_are_deleted_by_editors ON app.workspace_tasks IS 'Editors and owners.';

CREATE POLICY workspace_tasks_are_explained_by_their_owner ON app.workspace_tasks FOR SELECT TO app_owner USING (((current_setting('audit.explaining'::text, true) = 'on'::text) AND pg_has_role(SESSION_USER, 'app_owner'::name, 'member'::text)));

COMMENT ON POLICY workspace_tasks_are_explained_by_their_owner ON app.workspace_tasks IS 'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could drop
the policies anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.';

CREATE POLICY workspace_tasks_are_read_by_members ON app.workspace_tasks FOR SELECT TO app_api USING ((workspace_id = app.current_workspace_id('viewer'::text)));

COMMENT ON POLICY workspace_tasks_are_read_by_members ON app.workspace_tasks IS 'Every member of the workspace it acts in.';

ALTER TABLE app.workspaces ENABLE ROW LEVEL SECURITY;

CREATE POLICY workspaces_are_changed_by_owners ON app.workspaces FOR UPDATE TO app_api USING ((workspace_id = app.current_workspace_id('owner'::text))) WITH CHECK ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY workspaces_are_changed_by_owners ON app.workspaces IS 'An owner renames the workspace it acts in.';

CREATE POLICY workspaces_are_created_by_a_caller ON app.workspaces FOR INSERT TO app_owner WITH CHECK ((app.current_user_id() IS NOT NULL));

COMMENT ON POLICY workspaces_are_created_by_a_caller ON app.workspaces IS 'app.create_workspace() adds a workspace as app_owner, which sees and changes none.';

CREATE POLICY workspaces_are_deleted_by_owners ON app.workspaces FOR DELETE TO app_api USING ((workspace_id = app.current_workspace_id('owner'::text)));

COMMENT ON POLICY workspaces_are_deleted_by_owners ON app.workspaces IS 'An owner deletes the workspace it acts in, with everything in it.';

CREATE POLICY workspaces_are_read_by_members ON app.workspaces FOR SELECT TO app_api USING ((workspace_id = ANY (app.current_workspace_ids())));

COMMENT ON POLICY workspaces_are_read_by_members ON app.workspaces IS 'A caller who acts in a workspace reads that one; one who acts in none reads all of its own, to choose.';

GRANT USAGE ON SCHEMA app TO app_api;

GRANT USAGE ON SCHEMA migrations TO app_api;
GRANT USAGE ON SCHEMA migrations TO app_auditor;

REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
GRANT ALL ON LANGUAGE plpgsql TO app_owner;
GRANT ALL ON LANGUAGE plpgsql TO app_migrator;
GRANT ALL ON LANGUAGE plpgsql TO app_auditor;

REVOKE ALL ON FUNCTION app.accept_invitation(token_hash bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION app.accept_invitation(token_hash bytea) TO app_api;

REVOKE ALL ON FUNCTION app.create_workspace(called text) FROM PUBLIC;
GRANT ALL ON FUNCTION app.create_workspace(called text) TO app_api;

REVOKE ALL ON FUNCTION app.current_memberships() FROM PUBLIC;
GRANT ALL ON FUNCTION app.current_memberships() TO app_api;

REVOKE ALL ON FUNCTION app.current_user_id() FROM PUBLIC;
GRANT ALL ON FUNCTION app.current_user_id() TO app_api;

REVOKE ALL ON FUNCTION app.current_workspace_id(at_least text) FROM PUBLIC;
GRANT ALL ON FUNCTION app.current_workspace_id(at_least text) TO app_api;

REVOKE ALL ON FUNCTION app.current_workspace_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION app.current_workspace_ids() TO app_api;

REVOKE ALL ON FUNCTION app.keep_an_owner() FROM PUBLIC;

REVOKE ALL ON FUNCTION app.keep_invitations_of_owners() FROM PUBLIC;

REVOKE ALL ON FUNCTION app.keep_task_timestamps() FROM PUBLIC;

REVOKE ALL ON FUNCTION app.keep_updated_at() FROM PUBLIC;

REVOKE ALL ON FUNCTION app.on_this_node(relation regclass) FROM PUBLIC;
GRANT ALL ON FUNCTION app.on_this_node(relation regclass) TO app_api;

REVOKE ALL ON FUNCTION app.requested_workspace_id() FROM PUBLIC;
GRANT ALL ON FUNCTION app.requested_workspace_id() TO app_api;

REVOKE ALL ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pg_catalog.set_config(text, text, boolean) TO app_owner;
GRANT ALL ON FUNCTION pg_catalog.set_config(text, text, boolean) TO app_migrator;
GRANT ALL ON FUNCTION pg_catalog.set_config(text, text, boolean) TO app_auditor;

GRANT SELECT,DELETE ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(key) ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(fingerprint) ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(status) ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(location) ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(etag) ON TABLE app.idempotency_keys TO app_api;

GRANT INSERT(body) ON TABLE app.idempotency_keys TO app_api;

GRANT DELETE ON TABLE app.invitations TO app_api;

GRANT SELECT(workspace_id) ON TABLE app.invitations TO app_api;

GRANT SELECT(id) ON TABLE app.invitations TO app_api;

GRANT SELECT(user_id) ON TABLE app.invitations TO app_api;

GRANT SELECT(role),INSERT(role) ON TABLE app.invitations TO app_api;

GRANT INSERT(token_hash) ON TABLE app.invitations TO app_api;

GRANT SELECT(created_at) ON TABLE app.invitations TO app_api;

GRANT SELECT(updated_at) ON TABLE app.invitations TO app_api;

GRANT SELECT(expires_at),INSERT(expires_at) ON TABLE app.invitations TO app_api;

GRANT SELECT(accepted_at) ON TABLE app.invitations TO app_api;

GRANT SELECT(accepted_by) ON TABLE app.invitations TO app_api;

GRANT SELECT,DELETE ON TABLE app.members TO app_api;

GRANT UPDATE(role) ON TABLE app.members TO app_api;

GRANT SELECT,DELETE ON TABLE app.tasks TO app_api;

GRANT INSERT(text),UPDATE(text) ON TABLE app.tasks TO app_api;

GRANT INSERT(completed),UPDATE(completed) ON TABLE app.tasks TO app_api;

GRANT INSERT("order"),UPDATE("order") ON TABLE app.tasks TO app_api;

GRANT SELECT,DELETE ON TABLE app.workspace_tasks TO app_api;

GRANT INSERT(text),UPDATE(text) ON TABLE app.workspace_tasks TO app_api;

GRANT INSERT(completed),UPDATE(completed) ON TABLE app.workspace_tasks TO app_api;

GRANT INSERT("order"),UPDATE("order") ON TABLE app.workspace_tasks TO app_api;

GRANT SELECT,DELETE ON TABLE app.workspaces TO app_api;

GRANT UPDATE(name) ON TABLE app.workspaces TO app_api;

GRANT SELECT ON TABLE migrations.alembic_version TO app_api;
GRANT SELECT ON TABLE migrations.alembic_version TO app_auditor;

ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
