"""PyPI's ``toon-format``: JSON written as TOON, as its page there shows.

A format for JSON documents, not for other text: it is given JSON alone. Where the text
is no single JSON document (JSON lines, a truncated one) it stays as it is.
"""

import json
from importlib.metadata import version

import answering
import toon_format


def after(text):
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return toon_format.dumps(value)


if __name__ == "__main__":
    name = "toon-format"
    answering.serve(after, name=name, version=version(name), kinds=["json"])
