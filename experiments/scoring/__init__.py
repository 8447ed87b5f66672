"""New memes through the heads of a comparison."""
