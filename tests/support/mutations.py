"""Mutations: single changes to a healthy database, each of which the audit must report.

Each is a template, which is filled from the catalog with every table, policy, column or key that there is. So a new
table takes part without being listed; two with awkward names and foreign keys, a user's and a workspace's, are created
here to show it. All of a module run in one database: each is rolled back, and planning the audit's queries takes longer
than running them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg

from db.audit import Finding, find
from db.audit.prove import prove
from tests.support.twins import SURFACE

SCRATCH = """
create schema scratch authorization app_owner;
grant usage on schema scratch to app_api;
create table scratch."Meeting notes" (
    id uuid not null default gen_random_uuid(),
    user_id text not null default app.current_user_id(),
    task_id uuid not null,
    "Said by" text not null,
    due_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (user_id, id),
    unique (user_id, "Said by"),
    foreign key (user_id, task_id) references app.tasks (user_id, id) on delete cascade
);
alter table scratch."Meeting notes" owner to app_owner;
create index on scratch."Meeting notes" (user_id, task_id);
alter table scratch."Meeting notes" enable row level security, force row level security;
create policy "notes: one's own" on scratch."Meeting notes" to app_api
using (user_id = app.current_user_id()) with check (user_id = app.current_user_id());
grant select, delete, insert (task_id, "Said by", due_at), update ("Said by", due_at) on scratch."Meeting notes"
to app_api;

create table scratch."Team ""notes" (
    id uuid not null default gen_random_uuid(),
    user_id text not null default app.current_user_id(),
    workspace_id uuid not null default app.current_workspace_id('viewer'),
    task_id uuid not null,
    "Said by" text not null,
    primary key (workspace_id, id),
    unique (workspace_id, "Said by"),
    foreign key (workspace_id, task_id) references app.workspace_tasks (workspace_id, id) on delete cascade
);
alter table scratch."Team ""notes" owner to app_owner;
create index on scratch."Team ""notes" (workspace_id, task_id);
alter table scratch."Team ""notes" enable row level security, force row level security;
create policy "a member's" on scratch."Team ""notes" for select to app_api
using (workspace_id = app.current_workspace_id('viewer'));
create policy "an editor's: (new)" on scratch."Team ""notes" for insert to app_api
with check (workspace_id = app.current_workspace_id('editor'));
create policy "an editor's: {changed}" on scratch."Team ""notes" for update to app_api
using (workspace_id = app.current_workspace_id('editor'))
with check (workspace_id = app.current_workspace_id('editor'));
create policy "an editor's, too" on scratch."Team ""notes" for delete to app_api
using (workspace_id = app.current_workspace_id('editor'));
grant select, delete, insert (task_id, "Said by"), update ("Said by") on scratch."Team ""notes" to app_api;

insert into app.workspaces (workspace_id, name) values ('5eed0000-0000-4000-8000-000000000001', 'Garden');
insert into app.members (workspace_id, user_id, role) values
    ('5eed0000-0000-4000-8000-000000000001', 'bob', 'viewer'),
    ('5eed0000-0000-4000-8000-000000000001', 'alice', 'owner');
insert into app.invitations (workspace_id, user_id, role, token_hash, expires_at) values
    ('5eed0000-0000-4000-8000-000000000001', 'alice', 'editor', sha256('token'), now() + interval '7 days');
with task as (
    insert into app.workspace_tasks (workspace_id, user_id, text) values
        ('5eed0000-0000-4000-8000-000000000001', 'alice', 'Water the plants')
    returning *
)
insert into scratch."Team ""notes" (workspace_id, user_id, task_id, "Said by")
select workspace_id, user_id, id, 'Bob' from task;
"""

# What the templates are filled with. Each yields rows whose columns are the template's fields.
ONCE = "select 1 as once"
_OTHER = 'a.attrelid = t."table" and a.attnum > 0 and not a.attisdropped and a.attname <> t.tenant_column'
_TENANTS = """
select distinct audit.name(t."table") as "table", quote_ident(t.tenant_column) as tenant, c.setting,
    c.type_name as type, c.strictest_call as caller, t.tenant_condition as own,
    (select quote_ident(min(a.attname)) from pg_attribute as a where {other}) as another
    {more}
from audit.tables as t
join audit.contexts as c on c."column" = t.tenant_column
{joins}
"""


def targets(more: str = "", joins: str = "") -> str:
    """Return a query for tables: their names, tenant columns, and what these are compared with."""
    return _TENANTS.format(other=_OTHER, more=more and f", {more}", joins=joins)


TABLES = targets()
WITH_INSERT = targets(joins="""where has_any_column_privilege('app_api', t."table", 'insert')""")
_HAS_ANOTHER = f'exists (select from pg_attribute as a join audit.tenants as x on x."column" = a.attname and {_OTHER})'
OF_ONE_TENANT = targets(joins=f"where not {_HAS_ANOTHER}")
OF_TENANT_AND_USER = targets(joins=f"where {_HAS_ANOTHER}")
TEXTS = targets(
    'quote_ident(a.attname) as "column"',
    f"join pg_attribute as a on {_OTHER} and a.atttypid = 'text'::regtype and a.attnotnull",
)
PROTECTED = targets('quote_ident(name) as "column"', "cross join unnest(t.protected_columns) as name")
_POLICY = "quote_ident(l.policy) as policy, l.command"
_CLAUSES = 'join audit.clauses as l on l."table" = t."table" and l.applies_to_api and l.permissive'
POLICIES = targets(_POLICY, _CLAUSES)
USING = targets(_POLICY, f"{_CLAUSES} and l.clause = 'using'")
CHECKING = USING.replace("'using'", "'with check'")
UPDATING = f"{USING} and l.command in ('all', 'update')"
_KEY = """join pg_constraint as k on k.conrelid = t."table" and k.contype in ('p', 'u')
join pg_attribute as first on first.attrelid = k.conrelid and first.attnum = k.conkey[1]
    and first.attname = t.tenant_column
cross join lateral (
    select string_agg(quote_ident(attname), ', ') as columns
    from pg_attribute where attrelid = k.conrelid and attnum = any (k.conkey[2:])
) as others"""
KEYS = targets("quote_ident(k.conname) as key, others.columns", f"{_KEY} where others.columns is not null")
PRIMARY_KEYS = targets("quote_ident(k.conname) as key", f"{_KEY} where k.contype = 'p'")
REFERENCES = targets(
    "quote_ident(f.conname) as key, audit.name(f.confrelid) as parent, pairs.*",
    """join pg_constraint as f on f.conrelid = t."table" and f.contype = 'f'
join audit.tables as of_parent on of_parent."table" = f.confrelid and of_parent.tenant_column is not null
cross join lateral (
    select string_agg(quote_ident(h.attname), ', ' order by place) as columns,
        string_agg(quote_ident(p.attname), ', ' order by place) as parent_columns
    from unnest(f.conkey, f.confkey) with ordinality as pair (here, there, place)
    join pg_attribute as h on h.attrelid = f.conrelid and h.attnum = here and h.attname <> t.tenant_column
    join pg_attribute as p on p.attrelid = f.confrelid and p.attnum = there
) as pairs
where pairs.columns is not null""",
)


class Change(NamedTuple):
    """A change, what it is made to, and the check that must report it."""

    template: str
    to: str
    reported_by: str
    proved: bool = False
    """Whether --prove must report something, too."""
    backed: bool = False
    """Whether the WITH CHECK of a workspace's UPDATE still refuses it, so that --prove has nothing to report there."""
    surface: bool = True
    """Whether app_api can reach it: then `unexpected` or `changed` reports it, too."""


# Of these --prove sees nothing that it does not see of the scratch tables, which are made like them.
SAME = {"app.tasks", "app.idempotency_keys", "app.workspace_tasks"}


class Healthy:
    """A database in which nothing is wrong, and the superuser's connection to it."""

    def __init__(self, url: str) -> None:
        """Connect, add the scratch tables, and note what is reported of them: they are unexpected."""
        self._runner = asyncio.Runner()
        self.connection: asyncpg.Connection = self._runner.run(asyncpg.connect(url))
        self._runner.run(self.connection.execute(f"set jit = off; {SCRATCH}"))
        self._known = self._runner.run(self._found())
        self._known_by_proof = self._runner.run(self._proved())

    def close(self) -> None:
        """Disconnect."""
        self._runner.run(self.connection.close())
        self._runner.close()

    def examine(self, examination: Callable[[], Awaitable[None]]) -> None:
        """Run it in a transaction that is rolled back."""

        async def run() -> None:
            transaction = self.connection.transaction()
            await transaction.start()
            try:
                await examination()
            finally:
                await transaction.rollback()

        self._runner.run(run())

    def unreported(self, change: Change) -> list[str]:
        """Return what the audit does not report of a change, made to one target after the other."""
        unreported: list[str] = []

        async def examine() -> None:
            found = await self.connection.fetch(change.to)
            assert found
            for target in found:
                mutation = change.template.format(**target)
                savepoint = self.connection.transaction()
                await savepoint.start()
                await self.connection.execute(mutation)
                unreported.extend([f"{mutation}: {silence}" for silence in await self._silence(change, target)])
                await savepoint.rollback()

        self.examine(examine)
        return unreported

    async def reported(self) -> set[Finding]:
        """Return what the audit reports since the last change."""
        return await self._found() - self._known

    async def proved_wrong(self) -> set[str]:
        """Return what --prove reports since the last change, or that it cannot even begin."""
        return await self._proved() - self._known_by_proof

    async def _silence(self, change: Change, target: asyncpg.Record) -> list[str]:
        names = {finding.name for finding in await self.reported()}
        silence = [] if change.reported_by in names else [f"reported {names or 'nothing'}"]
        # What is missing of a scratch table was never expected.
        if change.surface and not names & SURFACE and not str(target.get("table")).startswith("scratch."):
            silence.append(f"neither unexpected nor changed, but {names}")
        backed = change.backed and target["command"] == "update" and target["setting"] != "app.user_id"
        if change.proved and not backed and target.get("table") not in SAME and not await self.proved_wrong():
            silence.append("--prove reported nothing")
        return silence

    async def _found(self) -> set[Finding]:
        return {*await find(self.connection)}

    async def _proved(self) -> set[str]:
        try:
            return {finding.key for finding in (await prove(self.connection)).findings}
        except asyncpg.PostgresError as error:
            return {str(error)}
