"""The page's server: its files, what the model is, and a meme's score.

It answers to its own name only (a name that is made to point here cannot read memes or scores), takes nothing from
other sites' pages, and limits what it reads. The page needs nothing from elsewhere, and is not allowed to ask for it.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.scoring.memory import Neighbour
from experiments.scoring.scorer import Opinion, Score, Scorer
from experiments.words import bare
from experiments.words.memes import examples, looks_at, modalities, nearest, probability_origin
from extract.errors import Failed
from extract.images import Undecodable

HOSTS = ["127.0.0.1", "localhost"]
IMAGE_BYTES = 20_000_000
TEXT_CHARACTERS = 10_000
NEAREST = 6  # memes that are shown as the reason for a score
BODY_BYTES = IMAGE_BYTES + 4 * TEXT_CHARACTERS + 4096  # text as UTF-8, and the form's own lines
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(scorer: Scorer) -> Starlette:
    """The page and its questions for one scorer."""
    one_at_a_time = threading.Lock()  # two memes at once would only share the processor

    def answer(image: bytes | None, text: str | None) -> dict[str, Any]:
        with one_at_a_time:
            return told(scorer.score(image=image, text=text), scorer)

    def read(image: bytes | None, text: str | None) -> dict[str, Any]:
        with one_at_a_time:
            return {"text": scorer.read(image or b"")}

    async def ask(question: Callable[[bytes | None, str | None], dict[str, Any]], request: Request) -> Response:
        refuse_other_sites(request)
        image, text = await meme(request, scorer.needs)
        try:
            return JSONResponse(await run_in_threadpool(question, image, text))
        except Undecodable as error:
            raise HTTPException(422, f"This image cannot be used: {error}") from None
        except Failed as error:
            raise HTTPException(500, str(error)) from None

    async def near(request: Request) -> Response:
        at, memory = request.path_params["at"], scorer.memory
        small = await run_in_threadpool(memory.thumbnail, at) if memory and at < len(memory.known.ids) else None
        if small is None:
            raise HTTPException(404, "This image is not at hand.")
        return Response(small, media_type="image/jpeg")

    async def model(request: Request) -> Response:
        return JSONResponse(described(scorer))

    return Starlette(
        routes=[
            *(Route(path, file(*its)) for path, its in FILES.items()),
            Route("/model", model),
            Route("/score", partial(ask, answer), methods=["POST"]),
            *([Route("/words", partial(ask, read), methods=["POST"])] if scorer.reads else []),
            *([Route("/nearest/{at:int}", near)] if scorer.memory else []),
        ],
        middleware=[Middleware(WithHeaders), Middleware(TrustedHostMiddleware, HOSTS, www_redirect=False)],
        exception_handlers={HTTPException: refused},
        max_body_size=BODY_BYTES,
    )


async def meme(request: Request, sides: Sequence[str]) -> tuple[bytes | None, str | None]:
    """The form's image and text, None where there is none and none of these sides needs it.

    Raises HTTPException when one is missing or too large.
    """
    async with request.form(max_files=1, max_fields=1, max_part_size=4 * TEXT_CHARACTERS) as form:
        image, text = form.get("image"), form.get("text")
        given = {"image": isinstance(image, UploadFile), "text": isinstance(text, str)}
        if not all(given[side] for side in sides):
            needed = (
                "An image and a text are" if len(sides) > 1 else f"{'An' if 'image' in sides else 'A'} {sides[0]} is"
            )
            raise HTTPException(400, f"{needed} needed{'; the text may be empty' if 'text' in sides else ''}.")
        data = await image.read() if isinstance(image, UploadFile) else None
        text = text if isinstance(text, str) else None
    if data is not None and len(data) > IMAGE_BYTES:
        raise HTTPException(413, f"The image is larger than {IMAGE_BYTES // 1_000_000} MB.")
    if text is not None and len(text) > TEXT_CHARACTERS:
        raise HTTPException(413, f"The text is longer than {TEXT_CHARACTERS:,} characters.")
    return data, text


def refuse_other_sites(request: Request) -> None:
    """A page of another site may send a form here without asking; browsers say where it comes from."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers['host']}":
        raise HTTPException(403, "Only this server's own page may ask.")


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def file(name: str, media_type: str) -> Any:
    """An endpoint that gives one of the page's files."""
    content = (Path(__file__).parent / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint


def described(scorer: Scorer) -> dict[str, Any]:
    """What the page says of the model before any meme."""
    return {
        "encoders": {side: scorer.sources[side].encoder.name for side in scorer.sides},
        "head": scorer.deciding.name,
        "dev": bare(scorer.deciding.dev_auc),
        "image_bytes": IMAGE_BYTES,
        "text_characters": TEXT_CHARACTERS,
        "reads": scorer.reads,
        **({"examples": examples(scorer.added)} if scorer.added else {}),
    }


def told(score: Score, scorer: Scorer) -> dict[str, Any]:
    """A score as the page shows it."""

    def opinion(its: Opinion) -> dict[str, Any]:
        numbers = {name: getattr(its, name) for name in ("probability", "lowest", "highest", "threshold")}
        shown = {"shown": bare(its.probability), "runs": f"{bare(its.lowest)} to {bare(its.highest)}"}
        head = scorer.heads[its.head]
        return {"head": its.head, "looks_at": looks_at(head), "label": its.label, **numbers, **shown}

    def neighbour(its: Neighbour) -> dict[str, Any]:
        assert scorer.memory is not None
        text, image = scorer.memory.text(its.place), scorer.memory.image(its.place)
        figures = {"cosine": bare(its.cosine), "share": bare(its.share)}
        shown = {"text": text, "image": None if image is None else its.place}
        return {"id": its.id, "label": its.label, "example": its.example, **figures, **shown}

    near = {"told": nearest(score, scorer), "memes": [neighbour(its) for its in score.nearest[:NEAREST]]}
    return {
        **({"nearest": near} if score.nearest else {}),
        "head": score.head,
        "label": score.label,
        "probability": bare(score.probability),
        "origin": probability_origin(score.opinions[score.head], scorer),
        "modalities": modalities(score),
        "read": score.read,
        "opinions": [opinion(its) for its in score.opinions.values()],
    }


class WithHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)
