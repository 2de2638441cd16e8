-- What db/roles.sql and the migrations make, in the words of pg_dump. Nothing runs this file: it is here to be read,
-- and to show in a diff what a migration changed. After one: make schema
-- Not in it: schema audit, whose source is db/audit/; the roles themselves, whose source is db/roles.sql.

CREATE SCHEMA app;

ALTER SCHEMA app OWNER TO app_owner;

COMMENT ON SCHEMA app IS 'Tenant tables. Every row belongs to one user, and row-level security shows it to that user alone.';

CREATE SCHEMA migrations;

ALTER SCHEMA migrations OWNER TO app_owner;

COMMENT ON SCHEMA migrations IS 'The revision of the schema, kept by Alembic.';

CREATE FUNCTION app.current_user_id() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.user_id'::text, true), ''::text);

ALTER FUNCTION app.current_user_id() OWNER TO app_owner;

COMMENT ON FUNCTION app.current_user_id() IS 'The caller, as the API set it with "set local app.user_id" in this transaction; null when nobody did, and
null equals no row. An unset setting reads as null before the first "set local" on a connection and as the empty
string after it, hence nullif. STABLE, never IMMUTABLE: an immutable function would be folded into a cached
plan together with the previous caller.';

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

CREATE TABLE migrations.alembic_version (
    version_num character varying(32) NOT NULL
);

ALTER TABLE migrations.alembic_version OWNER TO app_owner;

COMMENT ON TABLE migrations.alembic_version IS 'The revision of the schema, kept by Alembic. The schema includes these revisions: 0001 0002 0003';

ALTER TABLE ONLY app.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);

COMMENT ON CONSTRAINT idempotency_keys_pkey ON app.idempotency_keys IS 'One response per key and user.';

ALTER TABLE ONLY app.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (user_id, id);

COMMENT ON CONSTRAINT tasks_pkey ON app.tasks IS 'Serves the policy, the point read and the list by age.';

ALTER TABLE ONLY migrations.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

CREATE INDEX tasks_by_completed_age ON app.tasks USING btree (user_id, completed, id);

COMMENT ON INDEX app.tasks_by_completed_age IS 'Serves the list by age of what is done, or is not: ids are made at creation and sort by time.';

CREATE INDEX tasks_by_completed_order ON app.tasks USING btree (user_id, completed, "order", id);

COMMENT ON INDEX app.tasks_by_completed_order IS 'Serves the list by position of what is done, or is not.';

CREATE INDEX tasks_by_order ON app.tasks USING btree (user_id, "order", id);

COMMENT ON INDEX app.tasks_by_order IS 'Serves the list by position: one range of one user, page by page.';

CREATE TRIGGER tasks_timestamps BEFORE INSERT OR UPDATE ON app.tasks FOR EACH ROW EXECUTE FUNCTION app.keep_task_timestamps();

COMMENT ON TRIGGER tasks_timestamps ON app.tasks IS 'Keeps updated_at and completed_at, which nobody is granted to write.';

ALTER TABLE app.idempotency_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY idempotency_keys_belong_to_their_user ON app.idempotency_keys TO app_api USING ((user_id = app.current_user_id())) WITH CHECK ((user_id = app.current_user_id()));

COMMENT ON POLICY idempotency_keys_belong_to_their_user ON app.idempotency_keys IS 'A caller reads, adds and deletes its own keys.';

CREATE POLICY idempotency_keys_expire ON app.idempotency_keys TO app_owner USING ((created_at < (now() - '24:00:00'::interval))) WITH CHECK (false);

COMMENT ON POLICY idempotency_keys_expire ON app.idempotency_keys IS 'partywall clean deletes what is older than a day, as app_owner; nothing younger is visible to it.';

ALTER TABLE app.tasks ENABLE ROW LEVEL SECURITY;

CREATE POLICY tasks_are_explained_by_their_owner ON app.tasks FOR SELECT TO app_owner USING (((current_setting('audit.explaining'::text, true) = 'on'::text) AND pg_has_role(SESSION_USER, 'app_owner'::name, 'member'::text)));

COMMENT ON POLICY tasks_are_explained_by_their_owner ON app.tasks IS 'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could drop
the policies anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.';

CREATE POLICY tasks_belong_to_their_user ON app.tasks TO app_api USING ((user_id = app.current_user_id())) WITH CHECK ((user_id = app.current_user_id()));

COMMENT ON POLICY tasks_belong_to_their_user ON app.tasks IS 'A caller reads, adds, changes and deletes its own tasks. No caller, no rows: null equals nothing.';

GRANT USAGE ON SCHEMA app TO app_api;

GRANT USAGE ON SCHEMA migrations TO app_api;
GRANT USAGE ON SCHEMA migrations TO app_auditor;

REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
GRANT ALL ON LANGUAGE plpgsql TO app_owner;
GRANT ALL ON LANGUAGE plpgsql TO app_migrator;
GRANT ALL ON LANGUAGE plpgsql TO app_auditor;

REVOKE ALL ON FUNCTION app.current_user_id() FROM PUBLIC;
GRANT ALL ON FUNCTION app.current_user_id() TO app_api;

REVOKE ALL ON FUNCTION app.keep_task_timestamps() FROM PUBLIC;

REVOKE ALL ON FUNCTION app.keep_updated_at() FROM PUBLIC;

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

GRANT SELECT,DELETE ON TABLE app.tasks TO app_api;

GRANT INSERT(text),UPDATE(text) ON TABLE app.tasks TO app_api;

GRANT INSERT(completed),UPDATE(completed) ON TABLE app.tasks TO app_api;

GRANT INSERT("order"),UPDATE("order") ON TABLE app.tasks TO app_api;

GRANT SELECT ON TABLE migrations.alembic_version TO app_api;
GRANT SELECT ON TABLE migrations.alembic_version TO app_auditor;

ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
