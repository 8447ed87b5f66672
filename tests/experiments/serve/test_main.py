"""The command: it listens to this machine alone, refuses before any work, and ends with Ctrl-C."""

import re
import socket
import subprocess
import sys
from importlib import util
from pathlib import Path

import trained

from experiments.serve import __main__ as serve
from extract import errors


def test_a_port_that_is_taken_is_refused_before_any_work(world, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["--model", str(world / "reports"), "--port", str(port)]
        assert errors.run(lambda: serve.main(arguments)) == 2
    assert f"error: --port {port}: Address already in use. Choose another" in capsys.readouterr().err


def test_it_listens_to_this_machine_alone():
    with serve.listening(0) as door:
        assert door.getsockname()[0] == "127.0.0.1"


def test_another_encoder_is_refused_at_the_start(world, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path))
    with trained.encoders() as fakes:
        fakes.found["image"] = trained.replace(trained.IMAGE, weights="cc" * 32)
        assert errors.run(lambda: serve.main(["--model", str(world / "reports"), "--port", "0"])) == 2
    assert f"weights: trained on {'bb' * 32}, here {'cc' * 32}" in capsys.readouterr().err


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    there = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "uvicorn" else there(name))
    assert errors.run(lambda: serve.main([])) == 2
    said = capsys.readouterr().err
    assert said == "error: serving needs uvicorn, not installed here. Run: pip install 'memefuse[serve]'\n"


def test_ctrl_c_is_how_it_ends(world, tmp_path):
    """The whole command, in a process of its own."""
    code = (
        "import sys, trained\nfrom extract import errors\nfrom experiments.serve import __main__ as serve\n"
        "with trained.encoders(): sys.exit(errors.run(lambda: serve.main(sys.argv[1:])))"
    )
    arguments = [sys.executable, "-c", code, "--model", str(world / "reports"), "--port", "0", "--cache", str(tmp_path)]
    helpers = Path(__file__).parents[2] / "helpers"
    environment = {"PYTHONPATH": f"{helpers}:{helpers.parent.parent}", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment, text=True, cwd=tmp_path) as process:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=10) as door:
            door.sendall(b"GET /model HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert door.recv(12) == b"HTTP/1.1 200"
        process.send_signal(2)
        assert process.wait(timeout=20) == 0
