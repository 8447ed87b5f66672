"""Stage 2: features in, heads trained, tables out. The only place that joins `extract` and `heads`."""
