"""Commands answer --help at once, with an example; what README, docs and the notebook tell people to type works."""

import argparse
import ast
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from unittest import mock

import pytest
import tiny_encoders
from fake_reader import FakeReader

from extract import errors
from extract.encoders import catalogue
from extract.ocr.reader import ReaderChoice
from heads.models import HEADS

ROOT = Path(__file__).parent.parent.parent
COMMANDS = [
    "extract",
    "extract.sample",
    "extract.inspect",
    "extract.ocr",
    "experiments.compare",
    "experiments.sweep",
    "experiments.leaderboard",
    "experiments.learning_curve",
    "experiments.bench",
    "experiments.report",
    "experiments.explore",
    "experiments.operating_points",
    "experiments.export",
    "experiments.predict",
    "experiments.submit",
    "experiments.serve",
    "experiments.systems",
]
HEAVY = {"torch", "transformers", "torchvision", "pandas", "sklearn", "scipy", "matplotlib", "ray", "pyarrow"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
NOTES = [ROOT / "features/README.md", ROOT / "reports/README.md"]
NOTEBOOK = ROOT / "examples/lab.ipynb"
DRAWN = ["--train", "24", "--dev", "12", "--test", "12"]
# Of an option that is given twice the last counts: less of the same, for the sake of time.
QUICKER = {
    "extract.sample": DRAWN,
    "experiments.compare": ["--seeds", "2"],
    "experiments.sweep": ["--heads", "text", "--seeds", "1"],
    "experiments.leaderboard": ["--heads", "text,early", "--seeds", "1"],
    "experiments.learning_curve": ["--sizes", "12,all", "--draws", "1", "--seeds", "1", "--heads", "text"],
    "experiments.systems": ["--seeds", "1"],
}
# Benchmarks, servers, clusters, buckets, a second dataset, exports (slow), and trainings of a hub's encoders: their
# options are parsed, no more.
PARSED_ONLY = re.compile(
    r"experiments\.(bench|export|serve)|--engine ray|s3://|--test-on|experiments\.systems (distil|bert)|openai/"
)
CHECKED_TOOLS = {"make", "pip", "pytest", "ruff", "mypy"}
STAGE_1 = {"config", "stage", "publish", "parts", "ray_engine", "inspect", "sample"}


PROBE = """
import runpy, sys
from extract import errors
errors.leave = sys.exit
sys.argv = ["x", "--help"]
try:
    runpy.run_module({name!r}, run_name="__main__")
except SystemExit as stop:
    status = stop.code
heavy = sorted(set(sys.modules) & {heavy!r})
print("STATUS", status, "HEAVY", heavy)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_and_imports_nothing_heavy(name):
    code = PROBE.format(name=name, heavy=HEAVY)
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m {name}" in answer.stdout.split("example")[-1]
    assert answer.stdout.endswith("STATUS 0 HEAVY []\n")


def options_of(monkeypatch, *command: str) -> list[argparse.Action]:
    """What a command takes."""
    taken = []

    def stop(self, *_):
        taken.extend(self._actions)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        call([*command])
    return taken


BENCHES = [("experiments.bench", bench) for bench in ("extract", "gpu", "heads", "ray")]
EACH = [(name,) for name in COMMANDS if name != "experiments.bench"] + BENCHES


@pytest.mark.parametrize("command", EACH, ids=" ".join)
def test_help_says_every_default(command, monkeypatch):
    valued = [each for each in options_of(monkeypatch, *command) if each.option_strings and each.nargs != 0]
    silent = [each.dest for each in valued if each.default not in (None, []) and "default" not in str(each.help)]
    assert silent == []


def test_git_ignores_what_commands_write(monkeypatch):
    outs = {str(each.default) for command in EACH for each in options_of(monkeypatch, *command) if each.dest == "out"}
    outs |= {words[words.index("--out") + 1] for words in OURS if "--out" in words}
    written = {out if Path(out).suffix else f"{out}/a-file" for out in outs - {"None"}}
    assert {"predictions.csv", "submission.csv", "export/a-file", "reports/a-file"} <= written
    git = ["git", "check-ignore", *sorted(written)]
    told = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode == 128:
        pytest.skip("no checkout")
    assert set(told.stdout.split()) == written


GO_ON = {"extract", "extract.ocr", "extract.sample", "experiments.systems"}
GO_ON |= {"experiments.sweep", "experiments.leaderboard", "experiments.learning_curve"}


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "experiments.bench"])
def test_ctrl_c_says_whether_the_same_command_goes_on(name, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(errors, "leave", sys.exit)
    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module(name, run_name="__main__")
    kept = ": what is finished is kept, and the same command goes on from there" if name in GO_ON else ""
    assert (left.value.code, capsys.readouterr().err) == (130, f"interrupted{kept}\n")


def extras_named(path: Path) -> set[str]:
    """Extras of memefuse in a file's text, and in what it gives to errors.need and errors.not_installed."""
    text = path.read_text()
    named = set(re.findall(r"memefuse\[(\w+)\]", text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("need", "not_installed"):
            named |= {node.args[-1].value} if isinstance(node.args[-1], ast.Constant) else set()
    return named


def test_every_extra_that_a_message_names_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [path for room in ("extract", "experiments") for path in ROOT.glob(f"{room}/**/*.py")]
    named = set().union(*map(extras_named, files))
    assert {"cloud", "ocr", "ray", "report", "serve", "systems"} <= named <= set(extras)


def blocks(path: Path, language: str) -> list[str]:
    """What stands in a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def typed() -> list[list[str]]:
    """Every command of every page, once, as words; comments are left out."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [list(command) for command in dict.fromkeys(tuple(each) for each in words if each)]


OURS = [command for command in typed() if command[:2] == ["python", "-m"]]
OTHERS = [command for command in typed() if command[:2] != ["python", "-m"]]
PYTHON = [(page.name, code) for page in PAGES for code in blocks(page, "python")]


class Parsed(Exception):
    """Options were understood."""


def call(command: list[str]) -> None:
    """Call what `python -m` runs, in this process. Raises what it raises; SystemExit for options that are not there."""
    name, *options = command
    package = (ROOT / name.replace(".", "/")).is_dir()
    importlib.import_module(f"{name}.__main__" if package else name).main(options)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Tiny encoders under every known name: no weights are downloaded."""
    folder = tmp_path_factory.mktemp("encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_encoders, "POSITIONS", 130)
        folders = {"text": tiny_encoders.text_folder(folder / "bert")}
        folders["image"] = tiny_encoders.resnet_folder(folder / "resnet", tiny_encoders.resnet())

        def find(kind, name, known):
            assert known.kind == kind
            return catalogue.Weights(folders[kind], "folder", catalogue.digest(catalogue.files(kind, folders[kind])))

        patch.setattr(catalogue, "_find_known", find)
        patch.setenv("MEMEFUSE_CACHE", str(folder / "cache"))
        patch.setattr(ReaderChoice, "load", lambda choice: FakeReader())
        patch.setenv("MPLBACKEND", "Agg")
        yield


@pytest.fixture(scope="module")
def prepared(encoders, tmp_path_factory):
    """A folder as a user's is after following the README: two datasets, features, reports, a sweep, a meme."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call(["extract.sample", "--out", "data/my_memes", *DRAWN])
        shutil.copytree("data/my_memes", "data/hateful_memes")
        shutil.copy("data/hateful_memes/test.jsonl", "data/hateful_memes/test_unseen.jsonl")
        shutil.copy(next(Path("data/my_memes/img").iterdir()), "meme.png")
        Path("pictures").mkdir()
        shutil.copy("meme.png", "pictures")
        call(["extract.ocr", "--images", "pictures"])
        mine = ["--data", "data/my_memes", "--features", "features/my_memes"]
        call(["extract", "--text-encoder", "all-MiniLM-L6-v2", *mine])
        call(["extract"])
        two = ["--text-encoder", "all-MiniLM-L6-v2,all-mpnet-base-v2", "--image-encoder", "resnet50-keras"]
        call(["extract", "--features", "features/several", *two])
        call(["experiments.compare", "--seeds", "2"])
        call(["experiments.operating_points", "--costs", "5,1"])
        few = ["--heads", "text,early", "--references", "none", "--seeds", "1"]
        call(["experiments.compare", *few, "--features", "features/my_memes", "--out", "reports/my_memes"])
        call(["experiments.compare", *few, "--heads", "retrieval", "--out", "reports/retrieval"])
        call(["experiments.sweep", "--heads", "early", "--grid", "hidden=16,32", "--seeds", "1"])
        call(["experiments.systems", "lab", "--seeds", "1", "--features", "features/lab"])
    return folder


@pytest.fixture
def user(prepared, tmp_path, monkeypatch):
    """A copy of it, as the working directory: what one command does is not seen by another."""
    folder = shutil.copytree(prepared, tmp_path / "user")
    monkeypatch.chdir(folder)
    return folder


def each_once(commands):
    """The first use of each command, and with the slow tests all others."""
    names = [command[2] for command in commands]
    for place, command in enumerate(commands):
        again = names[place] in names[:place] and not PARSED_ONLY.search(" ".join(command))
        yield pytest.param(command, marks=[pytest.mark.slow] if again else [], id=" ".join(command))


@pytest.mark.parametrize("command", list(each_once(OURS)))
def test_a_command_of_a_page_runs(command, user, monkeypatch):
    _, _, name, *options = command
    if PARSED_ONLY.search(" ".join(command)):
        parse = argparse.ArgumentParser.parse_args

        def stop(self, *arguments):
            parse(self, *arguments)
            raise Parsed

        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(Parsed):
            call([name, *options])
        return
    options = ["auto" if word == "cuda" else word for word in options]  # there may be no GPU here
    listed = options == ["--list"]
    call([name, *options, *([] if listed else QUICKER.get(name, []))])


@pytest.mark.parametrize("command", OTHERS, ids=" ".join)
def test_a_command_of_a_page_that_is_not_ours_names_what_is_there(command):
    tool, *options = command
    assert Path(tool).name in CHECKED_TOOLS
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if tool == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
        assert {word for word in options if "=" not in word} <= targets
    extras = re.search(r"\[(.*)\]", " ".join(options))
    if extras and tool == "pip":
        assert set(extras[1].split(",")) <= set(settings["project"]["optional-dependencies"])
    if tool == "pytest" and "-m" in options:
        markers = {line.split(":")[0] for line in settings["tool"]["pytest"]["ini_options"]["markers"]}
        assert options[options.index("-m") + 1] in markers
    for word in options:
        if "/" in word:
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=lambda value: value[:20])
def test_python_of_a_page_runs(page, code, user, capsys):
    with mock.patch.dict(HEADS):  # a page may add one
        exec(compile(code, page, "exec"), {"__name__": page})
    assert capsys.readouterr().out


def test_a_head_that_contributing_adds_is_in_every_command(user, monkeypatch):
    [code] = blocks(ROOT / "CONTRIBUTING.md", "python")
    with mock.patch.dict(HEADS):
        exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})
        call(["experiments.compare", "--heads", "text,times", "--seeds", "1", "--out", "toy"])
        call(["experiments.report", "--reports", "toy", "--data", "data/hateful_memes"])
        call(["experiments.sweep", "--heads", "times", "--grid", "hidden=8,16", "--seeds", "1", "--out", "swept"])
        call(["experiments.predict", "--model", "toy", "--head", "times", "--split", "test", "--out", "toy.csv"])
    comparison = json.loads(Path("toy/comparison.json").read_text())
    assert {"text", "times"} <= {row["name"] for row in comparison["rows"]}
    assert "times" in {pair["head"] for pair in comparison["pairs"]} & {pair["head"] for pair in comparison["linear"]}
    assert "times" in Path("toy/report.md").read_text()
    assert "times" in Path("swept/sweep.md").read_text()
    assert Path("toy.csv").read_text().splitlines()[1].split(",")[3] == "times"


@pytest.mark.slow
def test_the_demo_ends_with_the_report_page(encoders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = subprocess.run(
        ["make", "-n", "demo", "DEMO_TRAIN=24", "DEMO_DEV=12", "DEMO_TEST=12", "DEMO_SEEDS=2"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
    )  # fmt: skip
    lines = answer.stdout.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if re.search(r"python -m (extract|experiments)\b", line)]
    names = [command[0] for command in commands]
    assert names == ["extract.sample", "extract", "experiments.compare", "experiments.report"]
    for command in commands:
        call(command)
    assert "reports/sample/report.html" in lines[-1]
    assert "<svg" in (tmp_path / "reports/sample/report.html").read_text()
    assert (tmp_path / "reports/sample/comparison.md").is_file()


def test_the_notebook_runs_from_memes_to_discussion(encoders, tmp_path, monkeypatch):
    """Its code cells in order, in one namespace, as a kernel runs them; the cell of parameters asks for fewer memes."""
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["metadata"].get("tags") for cell in cells].count(["parameters"]) == 1
    names = {"__name__": "lab"}
    try:
        for number, cell in enumerate(cells):
            exec(compile("".join(cell["source"]), f"lab.ipynb, code cell {number}", "exec"), names)
            if cell["metadata"].get("tags") == ["parameters"]:
                assert {"TRAIN", "DEV", "TEST", "SEEDS", "SIZES"} <= set(names)
                names |= {"TRAIN": 24, "DEV": 12, "TEST": 12, "SEEDS": 2, "SIZES": [12, "all"]}
        assert len(pyplot.get_fignums()) >= 7
    finally:
        pyplot.close("all")
    assert set(names["results"].table["name"]) >= {"text", "image", "early", "late"}
    frames = ("ranked", "sizes", "others", "shuffled", "chosen")  # which encoders, more labels, modality, threshold
    assert [name for name in frames if not len(names[name])] == []
    report = names["page"].with_suffix(".md").read_text()
    titles = ("Which encoders? data", "More labels?", "What heads lose without a side", "Where to set the threshold")
    assert [title for title in titles if f"\n## {title}\n" not in report] == []


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    for link in links:
        if not link.startswith("https://"):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_the_readme_is_for_ten_minutes():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    pages = {str(page.relative_to(ROOT)) for page in PAGES[1:]}
    assert pages <= set(re.findall(r"\]\(([^)]+)\)", text))
    assert (ROOT / "docs/report.png").stat().st_size <= 250_000


def test_folders_of_the_map_are_there_and_none_is_missing():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`([\w/]+)/`", text.split("## Map")[1]))
    packages = {
        path.parent for top in ("extract", "heads", "experiments") for path in ROOT.glob(f"{top}/**/__init__.py")
    }
    assert {str(path.relative_to(ROOT)) for path in packages} <= named
    assert all((ROOT / name).is_dir() for name in named)


def test_a_wheel_holds_every_file_that_is_not_python():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for top in ("extract", "heads", "experiments"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                package = ".".join(path.parent.relative_to(ROOT).parts)
                assert any(fnmatch(path.name, pattern) for pattern in patterns.get(package, [])), path


def imported(path):
    """Full names of the project's modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/**/*.py")), ids=str)
def test_experiments_do_not_write_features(path):
    """Stage 2 reads what stage 1 has published, and shares its rooms below that; benchmarks and systems run stage 1."""
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("extract.")}
    assert path.parent.name in ("bench", "systems") or not rooms & STAGE_1
