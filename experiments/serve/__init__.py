"""A local page to drop a meme on."""
