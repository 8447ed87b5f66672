"""Frozen encoders: names -> weights on this disk -> vectors. A family is one class; the catalogue names encoders."""
