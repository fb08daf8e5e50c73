"""Serving the page on this machine, with no request to any other.

Gradio's analytics, sharing and fonts from elsewhere are off, and every answer carries a policy
that forbids the browser to ask another machine for anything.  Uploads lie in a folder of their
own that is removed at the end.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pixelbayes.app.limits import Limits
from pixelbayes.app.models import ModelShelf
from pixelbayes.errors import PixelBayesError

__all__ = ["LOCALHOST", "PORT", "is_this_machine", "serving"]

LOCALHOST = "127.0.0.1"
PORT = 7860
LAST_PORT = 65_535
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'self'; "
    "form-action 'self'"
)
"""Content-Security-Policy: this machine only; Gradio's page needs its inline scripts and styles."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_this_machine(host: str) -> bool:
    """Whether nobody but this machine can reach what listens at an address.

    >>> is_this_machine("127.0.0.1"), is_this_machine("localhost"), is_this_machine("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def serving(
    names: Sequence[str],
    *,
    host: str = LOCALHOST,
    port: int = PORT,
    device: str | torch.device = "cpu",
    open_browser: bool = False,
) -> Iterator[str]:
    """Serves the page as long as the context lasts.

    Args:
        names: Models to offer, the first chosen; see `pixelbayes.app.models.offered_names`.
        host: Address to listen at; anything but this machine's own lets others in.
        port: Port to listen at.
        device: Where models run.
        open_browser: Whether to open the page in the browser of this machine.

    Yields:
        The address to open.

    Raises:
        PixelBayesError: If the port is taken or is none, or a model cannot be used.
    """
    _require_free(host, port)
    _reached_directly(host)
    limits, shelf = Limits(), ModelShelf(names, device)
    shelf.get(names[0])  # a model that cannot be used is told before anything else starts
    with tempfile.TemporaryDirectory(prefix="pixelbayes-app-") as uploads:
        # Read by Gradio at its import, which therefore comes after.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": uploads}
        from starlette.middleware import Middleware

        from pixelbayes.app.page import build
        from pixelbayes.app.theme import CSS, HEAD, SCRIPT, theme

        page = build(shelf, limits)
        page.queue(max_size=limits.waiting, default_concurrency_limit=limits.at_once)
        url = _launched(
            page,
            host,
            port,
            share=False,
            quiet=True,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            show_error=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=limits.upload_bytes,
            theme=theme(),
            css=CSS,
            js=SCRIPT,
            head=HEAD,
            app_kwargs={"middleware": [Middleware(_Policy)], "docs_url": None, "redoc_url": None},
        )
        try:
            yield url
        finally:
            page.close(verbose=False)


class _Policy:
    """Adds `HEADERS` to every answer.

    Args:
        app: The ASGI application whose answers they are.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self.app(scope, receive, with_headers)


def _reached_directly(host: str) -> None:
    """Keeps what this process asks of its own page from a proxy, as Gradio does at its start."""
    for name in ("no_proxy", "NO_PROXY"):
        known = filter(None, [os.environ.get(name)])
        os.environ[name] = ",".join([*known, "localhost", LOCALHOST, host])


def _launched(page: Any, host: str, port: int, **options: Any) -> str:
    try:
        _, url, _ = page.launch(server_name=host, server_port=port, **options)
    except OSError as error:  # taken since it was looked at
        raise _taken(host, port, "it is taken") from error
    return str(url)


def _taken(host: str, port: int, reason: object) -> PixelBayesError:
    return PixelBayesError(
        f"{host}:{port} cannot be listened at ({reason}); choose another port with --port, or "
        "another --host"
    )


def _require_free(host: str, port: int) -> None:
    if not 1 <= port <= LAST_PORT:
        raise PixelBayesError(f"--port is a number from 1 to {LAST_PORT}, got {port}")
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _taken(host, port, error.strerror) from error
