"""Small HTTP servers on this machine that behave as a hub or a registry does."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SHA = "1" * 40  # the one commit of every repository


@contextmanager
def serving(answer) -> Iterator[tuple[str, list[str]]]:
    """Serve `answer(path) -> (status, headers, body)`; gives the address and the list of paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hub_of(repositories: dict[str, Path], gated: tuple[str, ...] = ()):
    """A hub that holds folders."""

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        path = path.partition("?")[0].lstrip("/")
        if path == "":
            return 200, {}, b"hub"
        for name, folder in repositories.items():
            files = {file.name: file.read_bytes() for file in folder.iterdir()}
            if path == f"api/models/{name}/revision/main" or path == f"api/models/{name}":
                siblings = [{"rfilename": file} for file in files]
                return as_json({"id": name, "modelId": name, "sha": SHA, "siblings": siblings, "tags": []})
            if path == f"api/models/{name}/tree/{SHA}":
                return as_json(
                    [
                        {"type": "file", "path": file, "size": len(body), "oid": etag(body)}
                        for file, body in files.items()
                    ]
                )
            if path.startswith(f"{name}/resolve/") and (body := files.get(path.rpartition("/")[2])) is not None:
                return 200, {"ETag": f'"{etag(body)}"', "X-Repo-Commit": SHA}, body
        if any(name in path for name in gated):
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    return answer


def etag(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def as_json(content: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
