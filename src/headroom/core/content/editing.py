"""Texts of which a line may have to be quoted exactly: they may be a file."""

from headroom.core.content.languages import language_of_text
from headroom.core.types import Context


def may_be_edited(text: str, ctx: Context) -> bool:
    """Whether a text of no certain kind may be a file that somebody works on.

    The call behind it cannot be seen, a person wrote it, or it is source code. Calls
    that show a file are no matter of this: their results never come here.
    """
    is_unknown = ctx.call is not None and not ctx.call.name
    return is_unknown or not ctx.is_tool or bool(language_of_text(text))
