"""Who may import whom: stages do not know each other, rooms do not know commands, nothing goes in circles.
Where a module's tests stand."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("extract", "heads", "experiments")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
COMMANDS = {"compare", "sweep", "report", "explore", "predict", "submit", "leaderboard", "learning_curve", "inspect"}
COMMANDS |= {"operating_points", "export"}


def is_command(module: str) -> bool:
    parts = module.split(".")
    return parts[-1] == "__main__" or (len(parts) == 2 and parts[1] in COMMANDS)


def imports(path: Path) -> Iterator[str]:
    """Modules of the project that a file imports, wherever in it; those for type checkers alone do not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            module = name if name in MODULES else name.rpartition(".")[0]
            if module in MODULES:
                yield module


GRAPH = {name: set(imports(path)) - {name} for name, path in MODULES.items()}


def test_the_two_stages_import_neither_each_other_nor_experiments():
    for name, others in GRAPH.items():
        package = name.split(".")[0]
        allowed = {package} if package != "experiments" else set(PACKAGES)
        assert {other.split(".")[0] for other in others} <= allowed, name


def test_rooms_do_not_import_commands():
    broken = {name: found for name in GRAPH if not is_command(name) and (found := set(filter(is_command, GRAPH[name])))}
    assert broken == {}


def test_nothing_imports_in_circles():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_counts_as_an_import_is_seen():
    """The graph is not empty, and a late import is in it."""
    assert "experiments.results.folder" in GRAPH["experiments.compare"]
    assert is_command("experiments.compare")
    assert not is_command("experiments.results.folder")


def test_a_class_has_a_name_of_its_own():
    """Two of one name are read as one by whoever meets them in different rooms."""
    where = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(module)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_every_module_has_its_test_file():
    """tests/<folder>/test_<module>.py: whoever changes a module finds its tests without a search."""
    paths = [path.relative_to(ROOT) for path in MODULES.values() if not path.stem.startswith("__")]
    tests = {path: Path("tests") / path.with_name(f"test_{path.name}") for path in paths}
    assert paths
    assert [f"{path}: no {test}" for path, test in tests.items() if not (ROOT / test).is_file()] == []
