"""/docs: Swagger UI from a package, served by this app, so that it works without the internet. /docs/errors: all codes.

Nothing on the page is inline: its Content-Security-Policy lets it run these files and call this app, and no more.
"""

from functools import partial
from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.http.codes import ERRORS, PROBLEMS, parameters
from api.http.responses import root_path

# docs.js is ours. The package is a folder of files here: nothing of it is imported.
FILES = StaticFiles(directory=Path(__file__).parent / "static", packages=[("fastapi_swagger", "resources")])
NAMES = ("docs.js", "favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css")

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # the icons in swagger-ui.css
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items()),
    "Referrer-Policy": "no-referrer",
}

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{root}/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="{root}/docs/assets/swagger-ui.css">
<script src="{root}/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="{root}/docs/assets/docs.js" defer></script>
</head>
<body>
<noscript>This page needs JavaScript. What it shows is <a href="{root}/openapi.json">openapi.json</a>.</noscript>
<div id="docs" data-document="{root}/openapi.json"></div>
</body>
</html>
"""

ERRORS_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: errors</title>
</head>
<body>
<h1>Errors</h1>
<p>Decide by <code>code</code>: codes do not change, sentences may.</p>
<h2>Problems</h2>
<table>
<tr><th>code</th><th>status</th><th>when</th><th>what to do</th></tr>
{problems}
</table>
<h2>Members of <code>errors</code></h2>
<table>
<tr><th>code</th><th>other members</th><th>sentence</th></tr>
{errors}
</table>
</body>
</html>
"""


def row(code: str, *cells: object) -> str:
    """Return a row of a table. A link can lead to it."""
    return f'<tr id="{code}">' + "".join(f"<td>{escape(str(cell))}</td>" for cell in (code, *cells)) + "</tr>"


async def errors_page(request: Request) -> Response:
    """Return the page that the `type` of a problem leads to."""
    text = ERRORS_PAGE.format(
        title=escape(request.app.title),
        problems="\n".join(row(code, *meaning) for code, meaning in PROBLEMS.items()),
        errors="\n".join(row(code, ", ".join(parameters(code)), text) for code, text in ERRORS.items()),
    )
    return HTMLResponse(text, headers=HEADERS | {"Cache-Control": "no-cache"})


async def page(request: Request) -> Response:
    """Return the page. Behind a proxy that adds a prefix, its links have the prefix too."""
    root = root_path(request.scope)
    return HTMLResponse(
        PAGE.format(title=escape(request.app.title), root=escape(root)), headers=HEADERS | {"Cache-Control": "no-cache"}
    )


async def asset(name: str, request: Request) -> Response:
    """Return one of the files that the page needs."""
    response = await FILES.get_response(name, request.scope)
    response.headers.update(HEADERS | {"Cache-Control": "max-age=3600"})
    return response


def serve_docs(app: FastAPI) -> None:
    """Add /docs, its files, /docs/errors. A route for each: one with a parameter would have paths in the log."""
    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/errors", errors_page, include_in_schema=False)
    for name in NAMES:
        app.add_route(f"/docs/assets/{name}", partial(asset, name), include_in_schema=False)
