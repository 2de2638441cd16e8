"""What every tenant table stands on: who is calling, keys, and when a row was last changed."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the functions that tables, policies and triggers call, and let the API read the schema's revision."""
    op.execute("""
do $$
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'Partywall needs PostgreSQL 15 or later; this server is %', current_setting('server_version');
    end if;
end
$$""")
    op.execute("""
comment on schema app is
    'Tenant tables. Every row belongs to one user, and row-level security shows it to that user alone.'""")
    op.execute("alter default privileges revoke execute on functions from public")

    # ---- who is calling ---------------------------------------------------------------------------
    op.execute("""
create function app.current_user_id() returns text
language sql stable parallel safe
return nullif(current_setting('app.user_id', true), '')""")
    op.execute("""
comment on function app.current_user_id() is
    'The caller, as the API set it with "set local app.user_id" in this transaction; null when nobody did, and
null equals no row. An unset setting reads as null before the first "set local" on a connection and as the empty
string after it, hence nullif. STABLE, never IMMUTABLE: an immutable function would be folded into a cached
plan together with the previous caller.'""")

    # ---- keys: PostgreSQL 18 has uuidv7(), older servers get one ----------------------------------
    op.execute("""
do $$
begin
    if to_regprocedure('pg_catalog.uuidv7()') is not null then
        return;
    end if;
    create function app.uuidv7() returns uuid
    language sql volatile parallel safe
    begin atomic
        select encode(
            substring(int8send(us / 1000) from 3)
            || int2send((28672 + us % 1000 * 4096 / 1000)::int2)
            || substring(uuid_send(gen_random_uuid()) from 9),
            'hex')::uuid
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) as clock;
    end;
    comment on function app.uuidv7() is
        'What PostgreSQL 18 has built in, for this older server. RFC 9562, 5.7: 48 bits of Unix milliseconds, the
version 7 (28672 is hexadecimal 7000), 12 bits of the millisecond''s fraction (6.2, method 3), the variant and
62 random bits.';
    grant execute on function app.uuidv7() to app_api;
end
$$""")

    # ---- versions ---------------------------------------------------------------------------------
    op.execute("""
create function app.keep_updated_at() returns trigger
language plpgsql
as $$
begin
    new.updated_at := greatest(now(), old.updated_at + interval '1 microsecond');
    return new;
end
$$""")
    op.execute("""
comment on function app.keep_updated_at() is
    'For a trigger before update. Moves updated_at forward with every change of a row, also with two in one
transaction and when the clock was set back: the API uses it as the version of the row, its ETag.'""")

    # ---- grants: tables come with their own revisions ---------------------------------------------
    op.execute("grant usage on schema app to app_api")
    op.execute("grant execute on function app.current_user_id() to app_api")
    # The readiness check and the auditor say which revision this database has.
    op.execute("grant usage on schema migrations to app_api, app_auditor")
    op.execute("grant select on migrations.alembic_version to app_api, app_auditor")


def downgrade() -> None:
    """Drop the functions. The schemas stay, empty: they are not this revision's."""
    op.execute("revoke select on migrations.alembic_version from app_api, app_auditor")
    op.execute("revoke usage on schema migrations from app_api, app_auditor")
    op.execute("revoke usage on schema app from app_api")
    op.execute("drop function app.keep_updated_at()")
    op.execute("drop function if exists app.uuidv7()")
    op.execute("drop function app.current_user_id()")
    op.execute("alter default privileges grant execute on functions to public")
