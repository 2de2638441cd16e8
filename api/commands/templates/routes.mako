"""One ${human}: create, read, replace, change, delete."""

from typing import Final

from starlette.responses import Response

from api.auth.caller import CallerSession
from api.${plural}.models import ${Singular}, ${Singular}Create, ${Singular}Id, ${Singular}Replace, ${Singular}Update
from api.http import idempotency
from api.http.bodies import JsonBody, MergePatchBody
from api.http.etags import (
    IfMatch,
    IfNoneMatch,
    UnlessMatch,
    expected_etags,
    one_or_404,
    raise_missing_or_stale,
    row_response,
)
from api.http.idempotency import IdempotencyKey
from api.http.routers import CREATED, DELETED, FOUND, UPDATED, merge_patch, new_router

router = new_router("${plural}")

MISSING: Final = "No ${human} with this id."


@router.post("", status_code=201, response_model=${Singular}, responses=CREATED, dependencies=[JsonBody])
async def create_${singular}(
    ${singular}: ${Singular}Create, db: CallerSession, idempotency_key: IdempotencyKey = None
) -> Response:
    """Add ${a} ${human}."""
    insert = """
        insert into app.${plural} as t (${columns(8)})
        values (${", ".join(f"${n}" for n in range(1, len(fields) + 1))})
        returning t.id, to_json(t)::text as body, to_json(t.updated_at)::text as etag
    """
    values = (${", ".join(f"{singular}.{field.name}" for field in fields)}${"," if len(fields) == 1 else ""})
    return await idempotency.create(db, "/${plural}", ${singular}, idempotency_key, insert, values)


READ = """
select to_json(t)::text, to_json(t.updated_at)::text from app.${plural} as t where t.user_id = $1 and t.id = $2
"""


@router.get("/{${singular}_id}", response_model=${Singular}, responses=FOUND)
async def read_${singular}(
    ${singular}_id: ${Singular}Id, db: CallerSession, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Read ${a} ${human}."""
    body, etag = one_or_404(await db.fetch(READ, db.user_id, ${singular}_id), MISSING)
    return row_response(body, etag, if_match, if_none_match)


@router.put("/{${singular}_id}", response_model=${Singular}, responses=UPDATED, dependencies=[JsonBody])
async def replace_${singular}(
    ${singular}_id: ${Singular}Id,
    ${singular}: ${Singular}Replace,
    db: CallerSession,
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Replace everything that you can set about ${a} ${human}."""
    return await _update(db, ${singular}_id, ${singular}, if_match, if_none_match)


@router.patch(
    "/{${singular}_id}",
    response_model=${Singular},
    responses=UPDATED,
    dependencies=[MergePatchBody],
    openapi_extra=merge_patch("${Singular}Update"),
)
async def change_${singular}(
    ${singular}_id: ${Singular}Id,
    ${singular}: ${Singular}Update,
    db: CallerSession,
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Change the fields of ${a} ${human} that are sent, and no others."""
    return await _update(db, ${singular}_id, ${singular}, if_match, if_none_match)


async def _update(
    db: CallerSession,
    ${singular}_id: ${Singular}Id,
    ${singular}: ${Singular}Replace | ${Singular}Update,
    if_match: str | None,
    if_none_match: str | None,
) -> Response:
    rows = await db.fetch(
        """
        update app.${plural} as t set
% for line in assignments:
            ${line}
% endfor
        where t.user_id = $1 and t.id = $2
            and ($3::text[] is null or to_json(t.updated_at)::text = any ($3))
            and ($4::text[] is null or to_json(t.updated_at)::text <> all ($4))
        returning to_json(t)::text, to_json(t.updated_at)::text
        """,
        db.user_id,
        ${singular}_id,
        *expected_etags(if_match, if_none_match),
% for field in fields:
% if field.optional:
        "${field.name}" in ${singular}.model_fields_set,
% endif
        ${singular}.${field.name},
% endfor
    )
    if not rows:
        raise_missing_or_stale(await db.fetch(READ, db.user_id, ${singular}_id), MISSING, if_match, if_none_match)
    [(body, etag)] = rows
    return row_response(body, etag)


@router.delete("/{${singular}_id}", status_code=204, responses=DELETED)
async def delete_${singular}(
    ${singular}_id: ${Singular}Id, db: CallerSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Delete ${a} ${human}."""
    deleted = await db.fetch(
        """
        delete from app.${plural} as t
        where t.user_id = $1 and t.id = $2
            and ($3::text[] is null or to_json(t.updated_at)::text = any ($3))
            and ($4::text[] is null or to_json(t.updated_at)::text <> all ($4))
        returning t.id
        """,
        db.user_id,
        ${singular}_id,
        *expected_etags(if_match, if_none_match),
    )
    if not deleted:
        raise_missing_or_stale(await db.fetch(READ, db.user_id, ${singular}_id), MISSING, if_match, if_none_match)
    return Response(status_code=204)
