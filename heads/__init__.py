"""Stage 2's core: tensors in, logits out. Knows no files, no command lines, nothing of `extract` or `experiments`."""
