"""What a user can cause ends in a message and a status, never in a traceback."""

import errno
import os
import subprocess
import sys

import pytest

from extract import errors


def test_what_the_system_refuses_is_told_in_a_line(tmp_path, capsys):
    absent = tmp_path / "absent"
    assert errors.run(lambda: len(absent.read_bytes())) == 1
    assert capsys.readouterr().err == f"error: {absent}: No such file or directory\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError("only words"), "only words"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_it_is_never_told_without_a_reason(error, told):
    assert errors.told(error) == told


def test_all_packages_that_are_missing_are_named_with_the_way_out():
    errors.need(["os", "json"], "pages need", "report")
    with pytest.raises(errors.Refused) as refused:
        errors.need(["os", "no_such_thing", "nor_this"], "pages need", "report")
    assert str(refused.value) == (
        "pages need no_such_thing, nor_this, not installed here. Run: pip install 'memefuse[report]'"
    )


def test_a_list_obeys_no_id():
    items = ["1\n2", "\x1b[2Jgone", "\u202eleft", "é😀 as it is"]
    assert errors.listing(items) == "  1\\n2\n  \\x1b[2Jgone\n  \\u202eleft\n  é😀 as it is"


def test_names_in_a_line_obey_none_of_them():
    assert errors.named(["1", "\x1b[2J", "a\nb"]) == "1, \\x1b[2J, a\\nb"
    assert errors.named([str(number) for number in range(1234)]) == "0, 1, 2, 3, 4 and 1,229 more"


def test_a_terminal_obeys_no_message(capsys):
    def main():
        raise errors.Refused("id \x1b]0;owned\x07 is twice\n  here")

    assert errors.run(main) == 2
    assert capsys.readouterr().err == "error: id \\x1b]0;owned\\x07 is twice\n  here\n"


def test_ctrl_c_says_what_becomes_of_the_work(capsys):
    def main():
        raise KeyboardInterrupt

    assert errors.run(main) == errors.run(main, goes_on=True) == 130
    kept = "what is finished is kept, and the same command goes on from there"
    assert capsys.readouterr().err == f"interrupted\ninterrupted: {kept}\n"


CHILD = """
import atexit, sys
from extract import errors
class Undone:
    def __del__(self): print("taken down")
kept = Undone()
atexit.register(print, "at exit")
print("out", end=" ")
print("err", end="", file=sys.stderr)
errors.leave(errors.run(lambda: 3))
"""


def test_a_command_leaves_with_its_status_and_all_that_it_printed():
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    assert (child.returncode, child.stdout, child.stderr) == (3, "out at exit\n", "err")


def test_a_command_that_nobody_reads_any_more_does_not_leave_as_if_all_were_well():
    read, written = os.pipe()
    os.close(read)
    code = "from extract import errors; print('lost'); errors.leave(0)"
    child = subprocess.run(
        [sys.executable, "-c", code],
        stdout=written, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    os.close(written)
    assert (child.returncode, child.stderr) == (1, "")
