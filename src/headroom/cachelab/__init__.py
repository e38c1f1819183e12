"""The provider that bills like the real one, and the replayer that measures with it.

``server`` answers on loopback as the provider would (``lab`` decides, by the pure rules
of ``shape``, ``prefix``, ``cache`` and ``thinking``); ``replay`` sends recorded
conversations through it, directly and through any proxy, and ``measure`` compares what
both were billed. Nothing here is used by the proxy.
"""
