"""How sample memes look and what they say; `extract.sample` decides which there are. Pillow is all it needs."""
