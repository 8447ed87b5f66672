"""A reports folder: the only room that writes and reads it."""
