"""The HTTP server: /metrics, /healthz, /readyz. A process of its own.

In: an address, three questions as plain callables. Out: answers over HTTP.
Refused: any other path (404). An error in a question is a 503 with its text.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sendgate import events


@dataclass(frozen=True, slots=True)
class Questions:
    """metrics: the exposition and its content type; ready: what is not ready, empty when all is."""

    metrics: Callable[[], tuple[bytes, str]]
    ready: Callable[[], list[str]]


def application(questions: Questions) -> Starlette:
    """The ASGI application."""

    async def metrics(_request: Request) -> Response:
        try:
            body, content_type = await run_in_threadpool(questions.metrics)
        except Exception as error:
            return _no_answer("/metrics", error)
        return Response(body, headers={"Content-Type": content_type})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        try:
            missing = await run_in_threadpool(questions.ready)
        except Exception as error:
            return _no_answer("/readyz", error)
        if missing:
            return PlainTextResponse("".join(f"{line}\n" for line in missing), status_code=503)
        return PlainTextResponse("ok\n")

    routes = [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
    return Starlette(routes=routes)


def _no_answer(path: str, error: Exception) -> Response:
    events.internal_error("ops", path, error)
    return PlainTextResponse(f"{type(error).__name__}: {error}\n", status_code=503)


def run(listener: socket.socket, questions: Questions, control: int) -> None:
    """Serve on a bound socket until the control pipe ends: the supervisor closed it, or has died."""
    config = uvicorn.Config(
        application(questions), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        def end() -> None:
            asyncio.get_running_loop().remove_reader(control)
            server.should_exit = True

        asyncio.get_running_loop().add_reader(control, end)
        await server.serve(sockets=[listener])

    asyncio.run(serve())
