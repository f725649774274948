"""The local dimension inside a training loop: callbacks, a class for plain loops, and a metric; docs/live.md."""

from idsweep.machine.faces import offer

__getattr__, __dir__, __all__ = offer(
    __name__,
    {
        "LightningLocalDimensionCallback": "idsweep.live.lightning",
        "LiveDimension": "idsweep.live.dimension",
        "LocalDimension": "idsweep.live.metric",
        "LocalDimensionCallback": "idsweep.live.trainer",
    },
)
