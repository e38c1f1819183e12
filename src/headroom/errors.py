"""Every exception that Headroom raises, as one tree.

Each class has a stable ``code``: the same word in log records, metrics, error bodies
and the reference pages. Raise the narrowest class, chain with ``from``, and say what
was expected and what was found.
"""

from typing import ClassVar


class HeadroomError(Exception):
    """The root of the tree; never raised itself."""

    code: ClassVar[str] = "headroom_error"


class ConfigError(HeadroomError):
    """A setting, file or environment is unusable. Raised at start-up, never later."""

    code = "config_error"


class RequestError(HeadroomError):
    """The client's side of an exchange is at fault."""

    code = "request_error"


class MalformedBodyError(RequestError):
    """A body that cannot be read without doubt; it is forwarded as it came.

    Attributes:
        start: byte offset at which reading stopped.
        reason: ``not_json``, ``no_messages`` where a provider's shape is missing, or
            what about a well-formed body is not for us (``n_greater_than_one``).
    """

    code = "malformed_body"

    def __init__(
        self, message: str, start: int = 0, *, reason: str = "not_json"
    ) -> None:
        super().__init__(message)
        self.start = start
        self.reason = reason


class LimitExceededError(RequestError):
    """A size or depth limit was passed."""

    code = "limit_exceeded"


class CompressionError(HeadroomError):
    """One block could not be compressed; it stays as it was."""

    code = "compression_error"


class OverlappingEditsError(CompressionError):
    """Two edits of one body share a byte."""

    code = "overlapping_edits"


class StoreError(HeadroomError):
    """The store of originals and ledger records failed."""

    code = "store_error"


class OriginalNotFoundError(StoreError):
    """No original is kept under this key (any more)."""

    code = "original_not_found"


class CorruptOriginalError(StoreError):
    """What the store returned does not hash to the key it was kept under."""

    code = "corrupt_original"


class StoreUnavailableError(StoreError):
    """The store cannot be reached, read or written."""

    code = "store_unavailable"


class DamagedRecordError(StoreUnavailableError):
    """A ledger record cannot be read as it was written; saving it again heals it."""

    code = "damaged_record"


class StreamError(HeadroomError):
    """A response stream breaks its own framing (size cap, invalid UTF-8)."""

    code = "stream_error"


class EventStreamError(StreamError):
    """A frame of an AWS event stream breaks the encoding.

    Attributes:
        problem: ``prelude_crc``, ``message_crc``, ``too_long``, ``length`` (the parts
            are longer than the whole) or ``header``.
        frame: number of the frame in its stream, from 0.
        expected: the checksum or limit that should hold; 0 where there is none.
        found: what was found instead.
    """

    code = "event_stream_error"

    def __init__(
        self, problem: str, frame: int, *, expected: int = 0, found: int = 0
    ) -> None:
        super().__init__(
            f"frame {frame} of the event stream: {problem}, "
            f"expected {expected:#x}, found {found:#x}"
        )
        self.problem = problem
        self.frame = frame
        self.expected = expected
        self.found = found


class UpstreamError(HeadroomError):
    """The provider's side of an exchange is at fault."""

    code = "upstream_error"


class UpstreamTimeoutError(UpstreamError):
    """The provider did not answer in time."""

    code = "upstream_timeout"


class UpstreamUnreachableError(UpstreamError):
    """No connection to the provider could be made or kept."""

    code = "upstream_unreachable"


class BedrockSigningError(UpstreamError):
    """A request for Bedrock could not be signed; it is never sent unsigned."""

    code = "bedrock_signing_failed"


class VertexTokenError(UpstreamError):
    """Google gave no access token; the request is never sent without one."""

    code = "vertex_adc_fetch_failed"
