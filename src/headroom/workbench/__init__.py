"""The workbench: what compression does to a set of texts, measured and shown.

Stands beside the proxy, above the library's face: it compresses texts as any user of
the library does, with the real token counter, and holds the results against the facts
that a corpus says must survive.
"""
