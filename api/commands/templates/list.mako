"""Pages of ${human_plural}."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.${plural}.models import ${Singular}ListQuery, ${Singular}Page
from api.http.pages import ID, Listing, Sort, page
from api.http.routers import PAGE, new_router

router = new_router("${plural}")

${PLURAL} = Listing(
    table="app.${plural}",
    tenant="user_id",
    sorts={"created": Sort((ID,)), "-created": Sort((ID,), descending=True)},
)


@router.get("", response_model=${Singular}Page, responses=PAGE)
async def list_${plural}(query: Annotated[${Singular}ListQuery, Query()], db: CallerSession) -> Response:
    """List your ${human_plural}, a page at a time."""
    return await page(db, "/${plural}", ${PLURAL}, query)
