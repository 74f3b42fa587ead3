"""The page at `/`: static files."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from functions.api import problems

FOLDER = Path(__file__).parents[1] / "page"
# A browser asks before it uses what it has: the files of two versions do not go together.
ASKED_FOR = {"cache-control": "no-cache"}


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(ASKED_FOR)
        return response


def page_app() -> ASGIApp:
    """What serves the page's files."""
    index = FOLDER / "index.html"

    async def home(_: Request) -> Response:
        return FileResponse(index, headers=ASKED_FOR)

    return Starlette(
        routes=[Route("/", home), Mount("/page", _Files(directory=FOLDER))],
        exception_handlers={HTTPException: _refused},
    )


def is_page(path: str) -> bool:
    """Whether a path is one of the page's."""
    return path == "/" or path.startswith("/page/")


async def _refused(request: Request, error: Exception) -> Response:
    """What Starlette refuses, as every other call would."""
    is_method = isinstance(error, HTTPException) and error.status_code == 405  # noqa: PLR2004 - the only other is 404
    found = problems.response(problems.not_allowed(request.method, "GET") if is_method else problems.not_found())
    return Response(found.body, found.status, found.headers)
