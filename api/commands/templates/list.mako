"""Pages of ${human_plural}${of_workspace}."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import ${Session}
from api.${plural}.models import ${Singular}ListQuery, ${Singular}Page
from api.http.pages import ID, Listing, Sort, page
from api.http.routers import PAGE, ${new_router}

router = ${new_router}("${plural}")

${PLURAL} = Listing(
    table="app.${plural}",
    tenant="${tenant}",
    sorts={"created": Sort((ID,)), "-created": Sort((ID,), descending=True)},
)


@router.get("", response_model=${Singular}Page, responses=PAGE)
async def list_${plural}(query: Annotated[${Singular}ListQuery, Query()], db: ${Session}) -> Response:
    """List ${"the" if shared else "your"} ${human_plural}, a page at a time.${as_reader}"""
    return await page(db, ${path}, ${PLURAL}, query)
