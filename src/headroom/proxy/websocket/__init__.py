"""WebSockets: relayed to the provider, and read where that is useful.

``server`` is the client's side at uvicorn and ``client`` the same for the relay,
``provider`` the other side at aiohttp, ``relay`` pumps between them.
"""
