"""The page in a real browser: a meme dropped on it is scored, nothing leaves this machine, and it fits a phone."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import browser
import fake_reader
import pytest
import trained
import uvicorn

from experiments.scoring.scorer import Scorer
from experiments.serve import app
from experiments.serve.__main__ import listening

BINARY = browser.find()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BINARY is None, reason="there is no Chromium here")]
HOSTILE = "<img src=x onerror=document.title='hit'> & \"words\""


@pytest.fixture(scope="module")
def scorer(world, tmp_path_factory):
    with trained.encoders():
        found = Scorer.load(world / "reports", head="early", cache=tmp_path_factory.mktemp("cache"))
        found.ready()
        return replace(found, words=None)


@contextmanager
def served(scorer):
    """Its address, while it is served from a thread."""
    with listening(0) as door:
        server = uvicorn.Server(uvicorn.Config(app.application(scorer), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(scorer):
    with served(scorer) as found:
        yield found


@pytest.fixture(scope="module")
def tab():
    with browser.tab(BINARY) as found:
        yield found


def opened(tab, address, **how):
    tab.open(address, **how)
    until(tab, "document.getElementById('model').textContent.includes('decides')")
    return tab


def until(tab, condition) -> None:
    """Wait, in the page, until a condition holds."""
    tab.value(f"new Promise(done => {{ const look = () => ({condition}) ? done() : setTimeout(look, 20); look(); }})")


def choose(tab, path) -> None:
    root = tab.send("DOM.getDocument")["root"]["nodeId"]
    field = tab.send("DOM.querySelector", nodeId=root, selector="#image")["nodeId"]
    tab.send("DOM.setFileInputFiles", nodeId=field, files=[str(path)])


def drop(tab, name, content, media_type="image/png") -> None:
    """What the browser does when a file is dropped on the page."""
    tab.value(f"""(() => {{
        const files = new DataTransfer();
        const bytes = new Uint8Array({list(content)});
        files.items.add(new File([bytes], {json.dumps(name)}, {{type: {json.dumps(media_type)}}}));
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", {{dataTransfer: files, bubbles: true}}));
    }})()""")


def ask(tab, text) -> None:
    tab.value(f"document.getElementById('text').value = {json.dumps(text)}")
    tab.value("document.getElementById('go').click()")
    until(tab, "document.getElementById('go').textContent === 'Score'")


def said(tab, name) -> str:
    return tab.value(f"document.getElementById({json.dumps(name)}).innerText")


def test_a_chosen_meme_is_scored(tab, address, scorer, tmp_path):
    opened(tab, address)
    assert tab.value("document.getElementById('go').disabled")
    (tmp_path / "meme.png").write_bytes(trained.picture((210, 20, 20)))
    choose(tab, tmp_path / "meme.png")
    ask(tab, "some words")
    score = scorer.score(tmp_path / "meme.png", "some words")
    assert said(tab, "verdict") == f"Label {score.label}, probability {score.probability:.3f}".replace(" 0.", " .")
    assert said(tab, "name") == "meme.png"
    rows = tab.value("[...document.querySelectorAll('#opinions tr')].map(row => row.innerText.split(/\\s+/))")
    assert [row[0] for row in rows] == ["text", "image", "early", "late"]
    assert [row[-1] for row in rows] == [str(its.label) for its in score.opinions.values()]
    assert [row[-2] for row in rows] == [f"{its.probability:.3f}".lstrip("0") for its in score.opinions.values()]
    assert "decides" in rows[2]
    width = "document.querySelector('.scale.early .bar').getBoundingClientRect().width"
    whole = tab.value("document.querySelector('.scale.early').getBoundingClientRect().width")
    assert tab.value(width) == pytest.approx(whole * score.probability, abs=1)
    assert tab.complaints == []


def test_words_that_were_read_can_be_corrected(tab, scorer):
    with served(replace(scorer, words=fake_reader.words())) as address:
        opened(tab, address)
        drop(tab, "meme.png", trained.picture((255, 0, 0)))
        until(tab, "document.getElementById('text').value")
        assert tab.value("document.getElementById('text').value") == "Red, and WARM below"
        assert said(tab, "read") == "Read from the image. Correct it before you score."
        drop(tab, "meme.png", trained.picture((255, 255, 255)))  # another image's words take their place
        until(tab, "document.getElementById('read').innerText.startsWith('No words')")
        assert tab.value("document.getElementById('text').value") == ""
        ask(tab, "typed")
        assert said(tab, "verdict").startswith("Label ")
        drop(tab, "meme.png", trained.picture((0, 0, 255)))  # typed words stay
        ask(tab, tab.value("document.getElementById('text').value"))
        assert tab.value("document.getElementById('text').value") == "typed"
        assert tab.complaints == []


def test_nothing_leaves_this_machine(tab, address):
    opened(tab, address)
    drop(tab, "meme.png", trained.picture((10, 20, 30)))
    ask(tab, "words")
    assert {url.split("/")[2] for url in tab.requests if not url.startswith("blob:")} == {address.split("/")[2]}
    assert f"{address}/score" in tab.requests
    assert tab.complaints == []


def test_words_and_file_names_are_never_markup(tab, address):
    opened(tab, address)
    drop(tab, f"{HOSTILE}.png", trained.picture((1, 2, 3)))
    ask(tab, HOSTILE)
    assert said(tab, "name") == f"{HOSTILE}.png"
    assert said(tab, "verdict").startswith("Label ")
    assert tab.value("document.title") == "memefuse: score a meme"
    assert tab.value("document.images.length") == 1
    assert tab.complaints == []


def test_near_memes_are_blurred_until_clicked_and_never_markup(tab, tmp_path):
    with trained.encoders():
        world = trained.everything(tmp_path, "--heads", "retrieval")
        (tmp_path / "mine.png").write_bytes(trained.picture((1, 2, 4)))
        mine = {"id": HOSTILE, "img": "mine.png", "text": HOSTILE, "label": 1}
        (tmp_path / "mine.jsonl").write_text(json.dumps(mine))
        scorer = Scorer.load(world / "reports", cache=tmp_path / "cache", examples=tmp_path / "mine.jsonl")
        with served(replace(scorer, words=None)) as address:
            opened(tab, address)
            assert "1 meme of" in said(tab, "model")
            drop(tab, "meme.png", trained.picture((1, 2, 3)))
            ask(tab, HOSTILE)
            shown = "[...document.querySelectorAll('#memes .veil div')]"
            until(tab, f"{shown}.every(each => each.querySelector('img').naturalWidth)")
            assert tab.value(f"{shown}.length") == app.NEAREST
            assert HOSTILE in tab.value(f"{shown}.map(each => each.querySelector('p').textContent)")
            blur = f"{shown}.map(each => getComputedStyle(each).filter.startsWith('blur('))"
            assert all(tab.value(blur))
            tab.value("document.querySelector('#memes input').click()")
            assert tab.value(blur) == [False, *[True] * (app.NEAREST - 1)]
            assert tab.value("document.title") == "memefuse: score a meme"
            assert tab.complaints == []


def test_the_policy_stops_what_a_slip_would_let_in(tab, address):
    opened(tab, address)
    tab.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    tab.value("fetch('http://127.0.0.1:1/').catch(() => 0)")
    assert tab.value("document.title") == "memefuse: score a meme"
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)


def test_what_is_no_image_is_said_and_can_be_replaced(tab, address):
    opened(tab, address)
    drop(tab, "notes.txt", b"no image", "text/plain")
    ask(tab, "")
    assert said(tab, "error") == "This image cannot be used: not an image of a known format"
    assert tab.value("document.getElementById('answer').hidden")
    drop(tab, "meme.png", trained.picture((9, 9, 9)))
    assert tab.value("document.getElementById('error').hidden")
    ask(tab, "")
    assert said(tab, "verdict").startswith("Label ")


def test_what_is_too_large_is_not_even_sent(tab, address, monkeypatch):
    opened(tab, address)
    tab.value("limits.image_bytes = 10")
    drop(tab, "meme.png", trained.picture((9, 9, 9)))
    ask(tab, "")
    assert said(tab, "error").startswith("The image is larger than ")
    assert f"{address}/score" not in tab.requests


def test_a_server_that_is_gone_is_said_to_be_gone(tab, scorer):
    with served(scorer) as address:
        opened(tab, address)
    drop(tab, "meme.png", trained.picture((9, 9, 9)))
    ask(tab, "words")
    assert said(tab, "error") == "The server does not answer. Is it still running?"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_and_can_be_read(tab, address, tmp_path, width, dark):
    opened(tab, address, width=width, height=780, dark=dark, touch=width < 500)
    drop(tab, "a" * 120 + ".png", trained.picture((200, 60, 60)))
    ask(tab, "w" * 300)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("Math.min(...['go', 'text'].map(id => document.getElementById(id).offsetHeight))") >= 40
    ink, paper = (
        tab.value(f"getComputedStyle(document.documentElement).{name}") for name in ("color", "backgroundColor")
    )
    assert (brightness(ink) > brightness(paper)) == dark
    assert abs(brightness(ink) - brightness(paper)) > 150


def brightness(colour: str) -> float:
    """Of "rgb(r, g, b)", from 0 to 255."""
    return sum(float(part) for part in colour[4:-1].split(",")) / 3


def test_it_is_worked_by_keyboard_too(tab, address):
    opened(tab, address)
    drop(tab, "meme.png", trained.picture((120, 9, 9)))
    tab.value("document.getElementById('text').focus()")
    tab.send("Input.insertText", text="typed words")
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, modifiers=2)
    until(tab, "!document.getElementById('answer').hidden")
    assert said(tab, "verdict").startswith("Label ")
