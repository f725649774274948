"""Point clouds and their exact neighbour graphs."""

from idsweep.machine.faces import offer

__getattr__, __dir__, __all__ = offer(
    __name__, {"NeighborGraph": "idsweep.neighbors.graph", "nearest_neighbors": "idsweep.neighbors.search"}
)
