"""The process: uvicorn around the application, from the first request to the last."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from llamaner.configuration import ServiceSettings
from llamaner.errors import ConfigurationError
from llamaner.service.application import Service, create_app
from llamaner.service.connections import timed_protocol
from llamaner.service.keys import VARIABLE, ApiKeys, read_api_keys
from llamaner.tagger import NerTagger

log = logging.getLogger("llamaner.service")

_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("llamaner.service", "uvicorn")
    },
}


class Server(uvicorn.Server):
    """uvicorn's server, which ends with 0 after SIGTERM or Ctrl-C, as it was asked to."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; on a second Ctrl-C without waiting."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what was asked, and end.

        Only from here on answers ask their client to close the connection. Before, the client
        would come back while the socket is still open, and be reset when it is closed.
        """
        self._service.draining = True
        await super().shutdown(sockets)


def serve(load: Callable[[], NerTagger], settings: ServiceSettings) -> None:
    """Answer requests until SIGTERM or Ctrl-C, and then finish what was accepted.

    ``load`` gives the tagger; it is called after the server has begun to listen, and ``/readyz``
    tells when it is done. Raises what ``load`` raised, and ``ConfigurationError`` where the address
    cannot be used.
    """
    keys = read_api_keys(settings.api_keys)
    server: Server | None = None

    def stop() -> None:
        if server is not None:
            server.should_exit = True

    app = create_app(load, settings, keys, on_failure=stop)
    service: Service = app.state.service
    server = make_server(app, settings)
    with _listening(settings) as listener:
        _greet(listener, settings, keys)
        server.run(sockets=[listener])
    if service.batcher.failure is not None:
        raise service.batcher.failure


def make_server(app: FastAPI, settings: ServiceSettings) -> Server:
    """The server of an application; ``run`` or ``serve`` it with a socket that listens."""
    config = uvicorn.Config(
        app,
        http=timed_protocol(settings.receive_seconds, settings.max_connections),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=_LOGGING,
        server_header=False,
        # A proxy's word on who asks is not taken: nothing here depends on it.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_keep_alive=30,
    )
    return Server(config, app.state.service)


def _listening(settings: ServiceSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"cannot listen on {settings.host}, port {settings.port} ({reason}); choose others "
            "with --host and --port"
        ) from None


def _greet(listener: socket.socket, settings: ServiceSettings, keys: ApiKeys) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("http://%s:%d (Ctrl-C stops it)", shown, port)
    if not keys and not _is_loopback(host):
        log.warning("anyone who reaches this machine may ask: set --api-keys or %s", VARIABLE)
    if settings.log_texts:
        log.warning("the texts of all requests go into this log")


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
