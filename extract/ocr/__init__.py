"""Words from pictures: what is written on memes whose text nobody has typed."""
