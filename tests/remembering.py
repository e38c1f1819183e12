"""A provider that remembers what it was sent, and outputs that tools return."""

from hypothesis import strategies as st

from headroom.providers import PROVIDERS


class Provider:
    """Remembers what it was sent for each prefix; complains when that changes."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.sent: dict[bytes, bytes] = {}

    def receive(self, rewrite, forwarded: bytes) -> None:
        view = PROVIDERS[self.api].parse(forwarded)
        assert len(view.messages) == len(rewrite.view.messages)
        for key, message in zip(rewrite.chain.keys, view.messages, strict=True):
            where = key + rewrite.chain.lineage
            before = self.sent.setdefault(where, message.canonical)
            assert before == message.canonical, "a prefix that was sent has changed"


LINES = st.integers(2, 40).map(
    lambda n: "".join(
        f"2026-01-01 line {i} of {n} is ordinary output\n" for i in range(n)
    )
)
"""Outputs of tools, long ones and short ones, some of them equal."""
