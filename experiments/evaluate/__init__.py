"""Numbers only: scores, intervals, tests and slices of trained heads. What they mean is said in words elsewhere."""
