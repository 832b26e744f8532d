"""A viser server on this machine."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mvgen.core.errors import CannotError

if TYPE_CHECKING:
    from viser import ViserServer

FIRST_PORT = 8080  # tried first where none is asked for
_TRIES = 100  # ports after it
_HOSTS = "127.0.0.1 is this machine alone, 0.0.0.0 the whole network"
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


def need_viser() -> None:
    """Raises CannotError where viser is not installed."""
    if find_spec("viser") is None:
        raise CannotError("the viewer needs viser, which is not installed", 'pip install "mvgen[demo]"')


@contextmanager
def serving(host: str, port: int | None, title: str) -> Iterator[ViserServer]:
    """A server with an empty scene, stopped in the end.

    port: None is FIRST_PORT or a free one after it, 0 any free one. Raises CannotError where viser is not installed, or
    the address cannot be had.
    """
    need_viser()
    port = _free_port(host, port)
    from viser import ViserServer

    server = ViserServer(host=host, port=port, label=title, verbose=False)
    try:
        # whoever can reach the server could ask it to publish itself through a foreign machine
        server.request_share_url = lambda verbose=True: None  # type: ignore[method-assign]
        server.gui.configure_theme(show_logo=False, show_share_button=False)
        server.scene.configure_default_lights(False)  # the sun washes out clay; the sky around it is light enough
        yield server
    finally:
        server.stop()


def url_of(server: ViserServer) -> str:
    """Where a browser on this machine finds it."""
    host = server.get_host()
    host = _WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{server.get_port()}"


def _free_port(host: str, port: int | None) -> int:
    """A port that can be listened on. Raises CannotError: viser itself would try others without end."""
    candidates = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + _TRIES), 0]
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotError(f"{host}: is no address of this machine ({error.strerror})", _HOSTS) from error
    for candidate in candidates:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address[0], candidate, *address[2:]))
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise CannotError(f"{host}: is no address of this machine", _HOSTS) from error
            last = error
    raise CannotError(
        f"{host}:{port}: cannot be listened on ({last.strerror})", "choose another --port; 0 is any that is free"
    ) from last
