"""Which API a request's path belongs to, by its end.

Base URLs of compatible providers have prefixes of all kinds.

Sources: https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/api-reference.
"""

OPENAI_ENDS: tuple[tuple[bytes, str], ...] = (
    (b"/chat/completions", "openai_chat"),
    (b"/responses", "openai_responses"),
)
MESSAGES_END = b"/v1/messages"


def api_by_end(path: bytes) -> str:
    """The API whose requests go to a path; empty if it is none that is known.

    Args:
        path: without the query.
    """
    if path.endswith(MESSAGES_END):
        return "anthropic"
    return next((api for end, api in OPENAI_ENDS if path.endswith(end)), "")
