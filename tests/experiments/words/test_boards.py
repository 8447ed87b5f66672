"""What a leaderboard comes to, in sentences and tables."""

import math
from dataclasses import replace

from experiments import words
from experiments.words import boards as sentences


def test_level_is_for_want_of_memes_and_the_table_counts_them(board):
    best, second, *rest = board.standings
    pairs = [replace(board.pairs[0], conclusion="none", detectable=0.05, memes_needed=1234.5), *board.pairs[1:]]
    level = [best, replace(second, level=True, seconds=0.001), *(replace(each, level=False) for each in rest)]
    known = replace(board, standings=level, pairs=pairs)
    said = sentences.leaderboard(known)[2]
    assert said.startswith(f"Level with it: 1. One may choose from these 2; the cheapest is {second.name} (1 ms a meme")
    assert said.endswith(
        f"Level is not equal: 300 memes of test do not tell {best.name} and {second.name} apart; it takes 1,235."
    )
    table = sentences.level_table(known)
    assert table.header[-2:] == ["the best is ahead by", "memes for it"]
    assert [row[-2:] for row in table.rows] == [[words.difference(pairs[0]), "1,235"], ["", ""]]
    partly = replace(known, standings=[replace(best, seconds=math.nan), *level[1:]])
    assert f"the cheapest of known cost is {second.name} (1 ms a meme" in sentences.leaderboard(partly)[2]
    unknown = replace(known, pairs=[replace(pairs[0], detectable=math.nan)])
    assert sentences.leaderboard(unknown)[2].endswith("Level is not equal: more memes may tell them apart.")


def test_without_any_cost_nothing_is_called_cheapest(board):
    bare = [replace(each, seconds=math.nan, level=True) for each in board.standings]
    unknown = replace(board, standings=bare)
    assert [each.dims for each in unknown.level] == sorted(each.dims for each in bare)
    page = sentences.leaderboard_markdown(unknown)
    narrowest = unknown.level[0]
    assert f"; the narrowest is {narrowest.name} (no cost is known, {narrowest.dims} dims)." in page
    assert "\n## Level with the best, narrowest first\n" in page
    assert "cheapest" not in page
