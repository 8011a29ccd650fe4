"""A server that is no platform's: it answers all that it is asked in one way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Elsewhere(HTTPServer):
    """Remembers who asked, and with which token."""

    def __init__(self, status: int = 200, body: bytes = b"") -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:9/secret")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def answering(status: int = 200, body: bytes = b"") -> Iterator[Elsewhere]:
    """While the block runs."""
    with Elsewhere(status, body) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server
        finally:
            server.shutdown()
