"""How many encoders and decoders a cluster holds, and what each takes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from extract.errors import Refused

THREADS = 4  # of one encoder on a CPU, at the most: its batches are small
ENCODER_SHARE = 0.8  # of its cores; the rest is the decoders', one for each core, who mostly wait for it


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Pool:
    """Encoders (actors, for the whole run) and decoders (tasks, one part each), and Ray's accounts of them."""

    encoders: int
    cpus: float  # of each encoder, as Ray counts them
    gpus: int  # of each encoder
    threads: int  # of each encoder's arithmetic
    decoders: int  # at a time
    decoder_cpus: float  # of each decoder, as Ray counts them

    @classmethod
    def of(cls, nodes: Sequence[Node], device: str) -> "Pool":
        """One encoder a GPU; on CPUs one for every THREADS cores. Every node that encodes has room for decoders.

        device: "cpu" or "cuda". Raises Refused where there is nothing to encode with.
        """
        cores = sum(int(node.cpus) for node in nodes)
        if device == "cuda":
            encoders = sum(int(node.gpus) for node in nodes)
            if not encoders or not cores:
                raise Refused(f"the Ray cluster has {encoders} GPUs and {cores} CPU cores; --device cuda needs both")
            return cls(encoders, cpus=0, gpus=1, threads=1, decoders=cores, decoder_cpus=1)
        if not cores:
            raise Refused("the Ray cluster has no CPU core to encode with")
        threads = min(THREADS, *(int(node.cpus) for node in nodes if node.cpus >= 1))
        encoders = sum(int(node.cpus) // threads for node in nodes)
        share = round(ENCODER_SHARE * threads, 2)
        return cls(encoders, share, gpus=0, threads=threads, decoders=cores, decoder_cpus=round(1 - ENCODER_SHARE, 2))
