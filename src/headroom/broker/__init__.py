"""One OpenAI-compatible address for many backends: who is asked, what it may cost.

Stands above the proxy and is made of its parts. Requests are never put into the shape
of another API; a backend gets what it serves itself.
"""
