"""What an error looks like on the network: problem details (RFC 9457), for each and every one.

A `Problem` is raised where it is found and answered as it stands. Everything else that can go wrong is turned into one
here: what FastAPI finds in a request, what no route answers, a database that is away, a bug. What somebody sent is not
repeated, nor is anything of our insides.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app_integration.errors import InvalidMessage

_log = logging.getLogger("edu_matrix")

MEDIA_TYPE = "application/problem+json"

AGAIN_SECONDS = 2
"""When to try again, for what goes by itself."""


class Problem(Exception):
    """Something that the caller is told.

    Args:
        status: of HTTP.
        kind: which kind of problem, the last part of its `type`, for programs.
        title: the kind in words, always the same.
        detail: what happened this time, and what can be done.
        headers: further headers of the answer.
        more: further members.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, Any] = {
            "type": f"urn:edu-matrix:problem:{kind}",
            "title": title,
            "status": int(status),
            "detail": detail,
            **more,
        }


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Write a body as JSON; as a problem where the status says that it is one."""
    media_type = MEDIA_TYPE if status >= HTTPStatus.BAD_REQUEST else "application/json"
    return JSONResponse(dict(body), status, headers=dict(headers or {}), media_type=media_type)


def unavailable(detail: str) -> Problem:
    """Say that something is away, and will be back."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Try again",
        detail,
        headers={"Retry-After": str(AGAIN_SECONDS)},
    )


def unauthorized(detail: str) -> Problem:
    """Say that nobody knows who is asking."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "Log in first",
        detail,
        headers={"WWW-Authenticate": 'Bearer realm="edu-matrix"'},
    )


def install(app: FastAPI) -> None:
    """Answer every error of an application as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InvalidMessage, _message)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(Exception, _bug)


def _said(problem: Problem) -> JSONResponse:
    return answer(problem.status, problem.body, problem.headers)


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _said(error)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": str(error.detail)}
    return answer(status, body, error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [
        {"field": ".".join(map(str, each["loc"][1:])) or str(each["loc"][0]), "problem": _plain(each["msg"])}
        for each in error.errors()
    ]
    detail = "; ".join(f"{each['field']}: {each['problem']}" for each in wrong)
    return _said(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "The request is not valid", detail, errors=wrong))


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


async def _message(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidMessage)
    wrong = [{"field": error.field, "problem": error.problem}]
    return _said(
        Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "The request is not valid",
            "it cannot be announced",
            errors=wrong,
        )
    )


async def _database(request: Request, error: Exception) -> JSONResponse:
    # Away, full, or busy for too long: all of these go by themselves. A constraint that nobody foresaw does not.
    if isinstance(error, OperationalError | PoolTimeout) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        _log.warning("%s %s: the database: %s", request.method, request.url.path, _first_line(error))
        return _said(unavailable("the database does not answer in time; nothing was changed that you will not see"))
    return await _bug(request, error)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).partition("\n")[0]


async def _bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": "it is our mistake; the server's log says more",
    }
    return answer(status, body)
