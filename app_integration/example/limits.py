"""How much a request may send: a body that is larger is refused before it is read into memory."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app_integration.example.problems import Problem, answer

MOST_BYTES = 65_536
"""No request of ours needs a tenth of it."""

DETAIL = f"allowed are {MOST_BYTES} bytes"


class BodyLimit:
    """Refuses bodies above `MOST_BYTES`, by what they say of themselves and by what comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > MOST_BYTES:
            await self._refuse(scope, receive, send)
            return
        come = 0

        async def counted() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > MOST_BYTES:
                # Of this kind alone, for FastAPI takes any other for a body that cannot be parsed.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, DETAIL)
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = _too_large()
        await answer(problem.status, problem.body, problem.headers)(scope, receive, send)


def _too_large() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        "The request is too large",
        DETAIL,
        headers={"Connection": "close"},
    )
