"""Does the engine work here? Asked once, before anything listens.

Half an engine is worse than none: a vocabulary that is not the one shipped, or a
compressor that answers otherwise than it was tested, would change what conversations
have already sent. So the answer is yes, or a plain message and exit code 78 (EX_CONFIG
of sysexits.h), or, if the operator says so, a proxy that forwards and compresses
nothing.
"""

import importlib.metadata
from pathlib import Path

import headroom
from headroom.core.content.tokens import estimate_tokens
from headroom.core.digest import content_digest
from headroom.core.pipeline import compress_block
from headroom.core.types import BlockTask, Policy, Slot, Span
from headroom.errors import ConfigError, StoreUnavailableError
from headroom.inference.tokens import verify_vocabularies
from headroom.proxy.app import is_compressing, open_settings_store
from headroom.proxy.endpoints import Core
from headroom.settings import Settings

GOLDEN = Path(__file__).parent / "data"
GOLDEN_KIND = "search"


def examine(settings: Settings) -> Core:
    """Check everything that compression depends on.

    Returns:
        What to report; compression stays off unless it says ``loaded``.

    Raises:
        ConfigError: something is wrong and the settings require the engine.
    """
    if settings.require_core:
        check_engine()
        check_store(settings)
        return Core()
    try:
        check_engine()
    except ConfigError as error:
        return Core("missing", str(error))
    return Core("disabled")


def check_engine() -> None:
    """Check the installation: version, vocabularies, one golden compression.

    Raises:
        ConfigError: says what is wrong and what to do.
    """
    try:
        installed = importlib.metadata.version("headroom")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            "headroom is not installed: run pip install headroom"
        ) from None
    if installed != headroom.__version__:
        raise ConfigError(
            f"the installation is mixed: its metadata says {installed}, its code "
            f"{headroom.__version__}; install headroom again"
        )
    verify_vocabularies()
    expected = (GOLDEN / "golden_output.txt").read_text("utf-8")
    if compress_golden() != expected:
        raise ConfigError(
            "the engine's self-check failed: a sample does not compress to the bytes "
            "it was tested with; install headroom again"
        )


def check_store(settings: Settings) -> None:
    """Check that the store can be opened, if it will be needed.

    Raises:
        ConfigError: names the setting.
    """
    if not is_compressing(settings, Core()):
        return
    try:
        open_settings_store(settings).close()
    except StoreUnavailableError as error:
        raise ConfigError(f"HEADROOM_STORE: {error}") from error


def compress_golden() -> str:
    """The sample as this installation compresses it; no vocabulary is loaded."""
    text = (GOLDEN / "golden_input.txt").read_text("utf-8")
    task = BlockTask(
        message_index=0,
        slot=Slot("0", None, "text", Span(0, 0), is_tool=True),
        digest=content_digest(text),
        text=text,
        model="",
        kind=GOLDEN_KIND,
    )
    outcome = compress_block(task, Policy(), estimate_tokens)
    return outcome.replacement or ""
