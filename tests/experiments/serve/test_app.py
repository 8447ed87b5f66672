"""The page's server: scores as predict gives them, limits, and nobody else's questions."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import fake_reader
import pytest
import trained
from starlette.testclient import TestClient

from experiments.scoring.scorer import Scorer
from experiments.serve import app
from extract.dataset import read_split

PAGE = Path(app.__file__).parent
AT = "http://127.0.0.1:8000"
HOSTILE = "</script><img src=x onerror=document.title='hit'> & \"words\""


@pytest.fixture(scope="module")
def scorer(world, tmp_path_factory):
    with trained.encoders():
        found = Scorer.load(world / "reports", cache=tmp_path_factory.mktemp("cache"))
        found.ready()
        return replace(found, words=None)


@pytest.fixture
def client(scorer):
    with TestClient(app.application(scorer), base_url=AT) as found:
        yield found


def ask(client, image=None, text="words", **how):
    content = trained.picture((200, 30, 30)) if image is None else image
    return client.post("/score", files={"image": ("image", content)}, data={"text": text}, **how)


def test_a_meme_gets_what_predict_gives_it(client, scorer, world):
    meme = read_split(world / "data", "test").memes[0]
    answer = ask(client, meme.image.read_bytes(), meme.text).json()
    score = scorer.score(meme.image, meme.text)
    assert [opinion["head"] for opinion in answer["opinions"]] == ["text", "image", "early", "late"]
    for opinion in answer["opinions"]:
        its = score.opinions[opinion["head"]]
        assert (opinion["probability"], opinion["label"]) == (its.probability, its.label)
        assert opinion["shown"] == f"{its.probability:.3f}".lstrip("0")
    assert (answer["head"], answer["label"]) == (score.head, score.label)
    assert "tuned on dev" in answer["origin"]


def test_texts_alone_need_no_image(scorer):
    heads = {"text": scorer.heads["text"]}
    texts = Scorer(heads["text"], heads, {"text": scorer.sources["text"]})
    with TestClient(app.application(texts), base_url=AT) as client:
        assert client.get("/model").json()["encoders"].keys() == {"text"}
        answer = client.post("/score", files={"text": (None, "words")})
        assert answer.json()["probability"] == f"{texts.score(text='words').probability:.3f}".lstrip("0")
        refused = client.post("/score", files={"other": (None, "words")})
        assert (refused.status_code, refused.json()["error"]) == (400, "A text is needed; the text may be empty.")


def test_the_page_and_all_that_it_names_are_there(client):
    page = client.get("/")
    named = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert set(named) == {"icon.svg", "page.css", "page.js"}
    types = {name: client.get(f"/{name}").headers["content-type"].split(";")[0] for name in named}
    assert types == {"icon.svg": "image/svg+xml", "page.css": "text/css", "page.js": "text/javascript"}


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client):
    files = {name: (PAGE / name).read_text() for name, _ in app.FILES.values()}
    for name, content in files.items():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", content), name
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", files["page.js"])

    class Inline(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]
            assert tag != "style"
            assert tag != "script" or dict(attrs).get("src")

    Inline().feed(files["page.html"])


@pytest.mark.parametrize("path", ["/", "/page.js", "/model", "/none", "/score"])
def test_every_answer_forbids_what_the_page_does_not_need(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "192.168.1.5:8000", "0.0.0.0"])
def test_a_name_that_is_made_to_point_here_gets_nothing(client, host):
    for path in ("/", "/model"):
        answer = client.get(path, headers={"host": host})
        assert (answer.status_code, answer.text) == (400, "Invalid host header")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost"])
def test_its_own_names_are_answered(client, host):
    assert client.get("/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8000"])
def test_other_sites_pages_may_not_ask(client, origin):
    answer = ask(client, headers={"origin": origin})
    assert (answer.status_code, answer.json()) == (403, {"error": "Only this server's own page may ask."})
    assert ask(client, headers={"origin": AT}).status_code == 200


def test_what_is_no_image_is_said_to_be_none(client):
    for content, why in ((b"", "empty file"), (b"<svg onload=alert(1)>", "not an image of a known format")):
        answer = ask(client, content)
        assert (answer.status_code, answer.json()["error"]) == (422, f"This image cannot be used: {why}")


def test_images_and_texts_have_a_limit(client, monkeypatch):
    assert ask(client, text="x" * app.TEXT_CHARACTERS).status_code == 200
    answer = ask(client, text="x" * (app.TEXT_CHARACTERS + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "The text is longer than 10,000 characters.")
    answer = ask(client, b"x" * (app.IMAGE_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "The image is larger than 20 MB.")


@pytest.mark.parametrize("told", [True, False], ids=["Content-Length", "chunked"])
def test_a_body_without_end_is_cut_off(client, told):
    sent = 0

    def chunks():
        nonlocal sent
        while sent < 3 * app.BODY_BYTES:
            sent += 1_000_000
            yield b"x" * 1_000_000

    headers = {"content-type": "multipart/form-data; boundary=b"}
    content = b"x" * (app.BODY_BYTES + 1) if told else chunks()
    answer = client.post("/score", content=content, headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"text": "words"}},
        {"files": {"image": b"x"}},
        {"data": {"text": "a", "image": "b"}},
        {"files": [("image", b"x"), ("image", b"y")], "data": {"text": ""}},
        {"data": {"text": "a", "more": "b"}},
        {"json": {"text": "a"}},
    ],
    ids=["no image", "no text", "image as text", "two images", "two texts", "json"],
)
def test_other_forms_are_refused(client, form):
    answer = client.post("/score", **form)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_text_of_every_kind_is_a_text(client):
    for text in ("", "<script>alert(1)</script>", "\u0000 \U0001f602 \u202e", "a" * 5000):
        answer = ask(client, text=text)
        assert answer.status_code == 200
        assert "<script>" not in answer.text


def test_only_the_page_s_own_questions_are_answered(client):
    assert client.get("/score").status_code == 405
    assert client.get("/../pyproject.toml").status_code == 404
    assert client.get("/page.py").status_code == 404


def test_the_model_is_told(client, scorer):
    assert client.get("/model").json() == {
        "encoders": {"text": "all-MiniLM-L6-v2", "image": "resnet50-keras"},
        "head": scorer.deciding.name,
        "dev": f"{scorer.deciding.dev_auc:.3f}".lstrip("0"),
        "image_bytes": 20_000_000,
        "text_characters": 10_000,
        "reads": False,
    }


def test_words_are_read_before_a_person_corrects_them(scorer):
    reading = replace(scorer, words=fake_reader.words())
    red = trained.picture((255, 0, 0))
    with TestClient(app.application(reading), base_url=AT) as client:
        assert client.get("/model").json()["reads"]
        assert client.post("/words", files={"image": red}).json() == {"text": "Red, and WARM below"}
        assert client.post("/words", files={"image": trained.picture((255, 255, 255))}).json() == {"text": ""}
        answer = client.post("/score", files={"image": red}).json()
        assert answer == ask(client, red, "Red, and WARM below").json() | {"read": "Red, and WARM below"}
        assert ask(client, red, "corrected").json()["read"] is None
        refused = client.post("/words", files={"image": b"no image"})
        assert (refused.status_code, refused.json()["error"]) == (
            422,
            "This image cannot be used: not an image of a known format",
        )
        assert client.post("/words", data={"text": "x"}).status_code == 400
        assert (
            client.post("/words", files={"image": red}, headers={"origin": "https://evil.example"}).status_code == 403
        )
    with TestClient(app.application(scorer), base_url=AT) as client:
        assert client.post("/words", files={"image": red}).status_code == 404


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    """A scorer that remembers its memes, and an example beside the one that `ask` asks about."""
    folder = tmp_path_factory.mktemp("remembering")
    with trained.encoders():
        trained.everything(folder, "--heads", "retrieval")
        (folder / "mine.png").write_bytes(trained.picture((200, 30, 31)))
        (folder / "mine.jsonl").write_text(json.dumps({"id": HOSTILE, "img": "mine.png", "text": HOSTILE, "label": 1}))
        found = Scorer.load(folder / "reports", cache=folder / "cache", examples=folder / "mine.jsonl")
        found.ready()
        yield replace(found, words=None)


def test_the_nearest_memes_are_the_reason_for_a_score(remembering):
    image = trained.picture((200, 30, 30))
    score = remembering.score(image, HOSTILE)
    with TestClient(app.application(remembering), base_url=AT) as client:
        answer = ask(client, image, HOSTILE)
        assert "1 meme of " in client.get("/model").json()["examples"]
        shown = answer.json()["nearest"]
        assert shown["told"] == "The memes nearest to this one, of all that it remembers, have voted."
        assert [its["id"] for its in shown["memes"]] == [its.id for its in score.nearest[: app.NEAREST]]
        mine = next(its for its in shown["memes"] if its["example"])
        assert (mine["id"], mine["text"], mine["label"]) == (HOSTILE, HOSTILE, 1)
        near = next(its for its in score.nearest if its.example)
        assert (mine["cosine"], mine["share"]) == tuple(
            f"{of:.3f}".removeprefix("0") for of in (near.cosine, near.share)
        )
        for its in shown["memes"]:
            small = client.get(f"/nearest/{its['image']}")
            assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
            assert small.headers["cross-origin-resource-policy"] == "same-origin"
        assert client.get(f"/nearest/{its['image']}", headers={"host": "evil.example"}).status_code == 400
        others = ("41", "100000", "-1", "x", "..%2f..%2fmine.png", "%2fetc%2fpasswd", "")
        assert {client.get(f"/nearest/{other}").status_code for other in others} == {404}


def test_memes_that_are_gone_are_told_by_id_and_label_alone(remembering):
    memory = replace(remembering.memory, known=replace(remembering.memory.known, data="/no/such/folder"))
    with TestClient(app.application(replace(remembering, memory=memory)), base_url=AT) as client:
        memes = ask(client).json()["nearest"]["memes"]
        assert {(its["text"], its["image"]) for its in memes if not its["example"]} == {(None, None)}
        assert all(its["id"] and its["label"] in (0, 1) for its in memes)
        assert client.get("/nearest/0").status_code == 404


def test_heads_that_remember_nothing_give_no_such_reason(client):
    assert "nearest" not in ask(client).json()
    assert client.get("/nearest/0").status_code == 404
