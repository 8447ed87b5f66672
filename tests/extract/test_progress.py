"""What a running command says, and that callers from Python hear nothing."""

from extract.progress import bar, say, silent


def test_a_line_goes_to_stderr_and_a_terminal_obeys_nothing_in_it(capsys):
    say("reading \x1b[2J1.png")
    assert capsys.readouterr() == ("", "reading \\x1b[2J1.png\n")


def test_within_silence_nothing_is_said(capsys):
    with silent():
        with silent():
            say("one")
        say("two")
        assert bar([1], "reading", 1, "images", quiet=False).disable
    say("three")
    assert capsys.readouterr() == ("", "three\n")


def test_a_bar_gives_what_it_is_given_and_is_drawn_once_that_takes_a_while(capsys, monkeypatch):
    assert list(bar([1, 2], "reading", 2, "images", quiet=False)) == [1, 2]
    assert capsys.readouterr().err == ""  # over in half a second
    monkeypatch.setattr("tqdm.std.time", iter(range(100)).__next__)  # each look at the clock, a second later
    with bar(None, "reading", 2, "images", quiet=False) as drawn:
        drawn.update(1)
        drawn.update(1)
    assert "reading: 100%" in capsys.readouterr().err
    with bar(None, "reading", 2, "images", quiet=True) as none:
        none.update(2)
    assert capsys.readouterr().err == ""
