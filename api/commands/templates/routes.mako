"""One ${human}${of_workspace}: create, read, replace, change, delete."""

from collections.abc import Sequence

from starlette.responses import Response

from api.auth.caller import ${Session}
from api.${plural}.models import ${Singular}, ${Singular}Create, ${Singular}Id, ${Singular}Replace, ${Singular}Update
from api.http import idempotency, rows
from api.http.bodies import JsonBody, MergePatchBody
from api.http.etags import IfMatch, IfNoneMatch, UnlessMatch
from api.http.idempotency import IdempotencyKey
from api.http.routers import CREATED, DELETED, FOUND, ${"NEEDS_ROLE, " if shared else ""}UPDATED, ${new_router}, merge_patch
from api.http.rows import Row

router = ${new_router}("${plural}")

INSERT = """
with created as (
    insert into app.${plural} (${columns(0)})
    values (${", ".join(f"${n}" for n in range(1, len(fields) + 1))})
    returning *
)
select c.id, to_json(c.*)::text, to_json(c.updated_at)::text from created as c
"""


@router.post("", status_code=201, response_model=${Singular}, responses=CREATED${needs_role}, dependencies=[JsonBody])
async def create_${singular}(
    ${singular}: ${Singular}Create, db: ${Session}, idempotency_key: IdempotencyKey = None
) -> Response:
    """Add ${a} ${human}.${as_writer}"""
    values = (${", ".join(f"{singular}.{field.name}" for field in fields)}${"," if len(fields) == 1 else ""})
    return await idempotency.create(db, ${path}, ${singular}, idempotency_key, INSERT, values)


${SINGULAR} = Row(
    read="""
    select to_json(t.*)::text, to_json(t.updated_at)::text
    from app.${plural} as t where t.${tenant} = $1 and t.id = $2
    """,
    missing="No ${human} with this id.",
)


@router.get("/{${singular}_id}", response_model=${Singular}, responses=FOUND)
async def read_${singular}(
    ${singular}_id: ${Singular}Id, db: ${Session}, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Read ${a} ${human}.${as_reader}"""
    return await rows.read(db, ${SINGULAR}, [${singular}_id], if_match, if_none_match)


@router.put("/{${singular}_id}", response_model=${Singular}, responses=UPDATED${needs_role}, dependencies=[JsonBody])
async def replace_${singular}(
    ${singular}_id: ${Singular}Id,
    ${singular}: ${Singular}Replace,
    db: ${Session},
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Replace everything that ${"can be set" if shared else "you can set"} about ${a} ${human}.${as_writer}"""
    return await rows.update(db, ${SINGULAR}, UPDATE, [${singular}_id], _values(${singular}), if_match, if_none_match)


@router.patch(
    "/{${singular}_id}",
    response_model=${Singular},
    responses=UPDATED${needs_role},
    dependencies=[MergePatchBody],
    openapi_extra=merge_patch("${Singular}Update"),
)
async def change_${singular}(
    ${singular}_id: ${Singular}Id,
    ${singular}: ${Singular}Update,
    db: ${Session},
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Change the fields of ${a} ${human} that are sent, and no others.${as_writer}"""
    return await rows.update(db, ${SINGULAR}, UPDATE, [${singular}_id], _values(${singular}), if_match, if_none_match)


# Null stands for a field that was not sent${"; where null is a value, a flag says whether it was" if optional else ""}.
UPDATE = """
with changed as (
update app.${plural} as t set
% for line in assignments:
    ${line}
% endfor
where t.${tenant} = $1 and t.id = $2
    and ($3::text[] is null or t.updated_at = any ($3::timestamptz[]))
    and ($4::text[] is null or t.updated_at <> all ($4::timestamptz[]))
returning t.*
)
select to_json(c.*)::text, to_json(c.updated_at)::text from changed as c
"""


def _values(${singular}: ${Singular}Replace | ${Singular}Update) -> Sequence[object]:
    return (
% for field in fields:
% if field.optional:
        "${field.name}" in ${singular}.model_fields_set,
% endif
        ${singular}.${field.name},
% endfor
    )


@router.delete("/{${singular}_id}", status_code=204, responses=DELETED${needs_role})
async def delete_${singular}(
    ${singular}_id: ${Singular}Id, db: ${Session}, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Delete ${a} ${human}.${as_writer}"""
    delete = """
        delete from app.${plural} as t
        where t.${tenant} = $1 and t.id = $2
            and ($3::text[] is null or t.updated_at = any ($3::timestamptz[]))
            and ($4::text[] is null or t.updated_at <> all ($4::timestamptz[]))
        returning t.id
    """
    return await rows.delete(db, ${SINGULAR}, delete, [${singular}_id], if_match, if_none_match)
