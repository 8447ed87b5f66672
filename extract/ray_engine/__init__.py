"""The second engine: the same plan, encoders and part files, run by Ray Data on the machines of a cluster.

Nothing here imports Ray or torch before it is asked to encode.
"""
