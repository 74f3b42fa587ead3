"""The page at `/`: static files, where they are there."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

FOLDER = Path(__file__).parents[1] / "page"


def page_app() -> ASGIApp | None:
    """What serves the page's files; None where there are none."""
    index = FOLDER / "index.html"
    if not index.is_file():
        return None

    async def home(_: Request) -> Response:
        return FileResponse(index)

    return Starlette(routes=[Route("/", home), Mount("/page", StaticFiles(directory=FOLDER))])


def is_page(path: str) -> bool:
    """Whether a path is one of the page's."""
    return path == "/" or path.startswith("/page/")
