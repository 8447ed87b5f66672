"""What is left to encode: unique contents, minus those held already, in a fixed order, cut into parts."""

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

from extract.places import Source


@dataclass(frozen=True)
class Item:
    """One content to encode: a text, or an image."""

    content: str  # sha256 in hex
    source: str | Source | bytes  # the text itself; where the image's bytes are, or they themselves


@dataclass(frozen=True)
class Part:
    """Items that are encoded, written and lost together."""

    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """Named after all its contents: a writer that outlived its run never replaces a part of the next run's plan."""
        return hashlib.sha256("".join(item.content for item in self.items).encode()).hexdigest()[:32]


def unique(items: Iterable[Item], held: Container[str]) -> list[Item]:
    """The first item of each content that is not held already, in the order given."""
    first: dict[str, Item] = {}
    for item in items:
        if item.content not in held:
            first.setdefault(item.content, item)
    return list(first.values())


def merged(lists: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of all lists, each content once, in an order that every list keeps: all are cut from one plan."""
    if all(items == lists[0] for items in lists):
        return list(lists[0])
    first = {item.content: item for items in lists for item in items}
    order = TopologicalSorter(dict.fromkeys(first, ()))
    for items in lists:
        for before, after in pairwise(items):
            order.add(after.content, before.content)
    return [first[content] for content in order.static_order()]


def by_length(items: Iterable[Item]) -> list[Item]:
    """Texts, shortest first, so that a part holds few lengths and its batches are full.

    Contents break ties, so that the order is always the same.
    """
    return sorted(items, key=lambda item: (len(str(item.source).encode()), item.content))


def cut(items: Sequence[Item], rows: int) -> list[Part]:
    """Parts of `rows` items each; the last may be shorter.

    Items lost with a killed part are the head of the next plan's order, so the next plan cuts them the same way.
    """
    return [Part(tuple(items[start : start + rows])) for start in range(0, len(items), rows)]
