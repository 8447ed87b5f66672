"""python -m experiments.serve: a local page to drop an image on, type its text, and see what each head says."""

import argparse
import socket
import sys
from typing import TYPE_CHECKING

from experiments.options import add_model, model_arguments
from experiments.options import parser as parser_of
from extract import errors
from extract.errors import Refused

if TYPE_CHECKING:
    from starlette.applications import Starlette

ADDRESS = "127.0.0.1"  # no other machine reaches it; other users of this one do
LIBRARIES = ("starlette", "uvicorn", "python_multipart")
EXAMPLES = """\
examples:
  python -m experiments.serve
  python -m experiments.serve --model reports/my_memes --port 8001
"""


def parser() -> argparse.ArgumentParser:
    what = "A page, for this machine alone, that scores a meme and shows what each head says. Ctrl-C ends it."
    parser = parser_of("serve", what, EXAMPLES)
    parser.add_argument("--port", type=port, default=8000, metavar="N", help="default: 8000; 0 takes any that is free")
    add_model(parser)
    return parser


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return int(text)


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    errors.need(LIBRARIES, "serving needs", "serve")
    with listening(options.port) as door:
        from experiments.scoring.scorer import Scorer

        scorer = Scorer.load(**model_arguments(options))
        print("loading the encoders", file=sys.stderr)
        scorer.ready()

        from experiments.serve.app import application

        print(f"http://{ADDRESS}:{door.getsockname()[1]}", flush=True)
        run(application(scorer), door)


def listening(port: int) -> socket.socket:
    """A socket of this machine's own. Raises Refused when the port is taken."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((ADDRESS, port))
        door.listen()
    except OSError as error:
        door.close()
        raise Refused(f"--port {port}: {error.strerror}. Choose another, or 0 for any that is free") from None
    return door


def run(app: "Starlette", door: socket.socket) -> None:
    """Serve until Ctrl-C, which is how it is meant to end."""
    import uvicorn

    settings = uvicorn.Config(
        app, log_level="warning", server_header=False, lifespan="off", timeout_graceful_shutdown=2
    )
    try:
        uvicorn.Server(settings).run(sockets=[door])
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)


if __name__ == "__main__":
    errors.leave(errors.run(main))
