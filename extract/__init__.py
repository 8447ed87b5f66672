"""Stage 1: each meme passes once through frozen encoders; the vectors go to HDF5."""
