"""A sweep's parts: which settings are tried, what was tried, how it ranks and what it chose. Test is never opened."""
