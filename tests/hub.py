"""A model hub on this machine: as much of its protocol as a download takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(files: dict[str, bytes], lie: bool = False) -> Iterator[str]:
    """The address of a hub that holds files by ``owner/name/file``; with lie, of announced checksums that are wrong."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def _answer(self, body: bool) -> None:
            owner, name, _, _, *rest = self.path.strip("/").split("/")  # .../resolve/main/...
            file = "/".join(rest)
            data = files.get(f"{owner}/{name}/{file}")
            if data is None:
                known = any(key.startswith(f"{owner}/{name}/") for key in files)
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            checksum = hashlib.sha256(b"lie" if lie else data).hexdigest()
            self.send_response(200)
            self.send_header("ETag", f'"{checksum}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
