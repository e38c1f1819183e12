"""Paths of the clouds that serve models of others: Amazon Bedrock and Vertex AI.

* *Bedrock*: ``/model/{id}/…`` and the few other operations of its runtime, as AWS's own
  service model lists them (the tests compare). The id stands in the path
  percent-encoded; those that are ARNs hold ``/`` and ``:``
  (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html).
* *Vertex*: ``/v1/projects/{p}/locations/{l}/…``; the verb stands behind the last colon
  (https://docs.cloud.google.com/vertex-ai/docs/reference/rest).

What always holds: a location becomes part of a host's name only if it looks like one of
Google's, and nothing else of a path does. Only operations of Bedrock's runtime, and
calls of models on Vertex, are made under the operator's account: our signature or token
would be good for everything else that the account may do there.
"""

import re
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import unquote

from msgspec import Struct

from headroom.core.types import NO_PATH, PathView
from headroom.providers.bedrock.model_ids import model_id

Cloud: TypeAlias = Literal["bedrock", "vertex"]

_MODEL = re.compile(r"/model/(.+)/([a-z-]+)")
_BIDIRECTIONAL = "invoke-with-bidirectional-stream"
_POST = frozenset({"POST"})
_ID = r"(?:[^/#?]+|arn:[^/#?]+/[^/#?]+)"
_MODEL_CALLS = "|".join(
    (
        "invoke",
        "invoke-with-response-stream",
        "converse",
        "converse-stream",
        "count-tokens",
    )
)
_OPERATIONS: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    (re.compile(f"/model/{_ID}/(?:{_MODEL_CALLS})"), _POST),
    (re.compile(f"/guardrail/{_ID}/version/{_ID}/apply"), _POST),
    (re.compile("/guardrail-checks/invoke"), _POST),
    (re.compile("/async-invoke"), frozenset({"GET", "POST"})),
    (re.compile(f"/async-invoke/{_ID}"), frozenset({"GET"})),
)
"""Operations of Bedrock's runtime that are served, with their methods."""

_CHATS = frozenset({"/openai/v1/chat/completions", "/v1/chat/completions"})
"""OpenAI's chats on Bedrock's runtime, for who signs:
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html."""

_DOTS = frozenset({".", ".."})
_NOTHING: frozenset[str] = frozenset()
_STREAMS = {"invoke-with-response-stream": True, "converse-stream": True}
_INVOKES = frozenset({"invoke", "invoke-with-response-stream"})
_CONVERSES = frozenset({"converse", "converse-stream"})
_BEDROCK_PREFIXES = ("/model/", "/guardrail/", "/guardrail-checks/", "/async-invoke")
_SCOPE = b"/bedrock/aws4_request"

_VERTEX = re.compile(
    r"/(v1|v1beta1)"
    r"(?:/projects/([^/]+)/locations/([^/]+)(/.+)?|(/publishers/.+))"
)
_PUBLISHED = re.compile(r"/publishers/([^/]+)/models/([^/]+):([^:/]*)")
_TUNED = re.compile(r"/endpoints/([^/:]+):([^:/]*)")
_LOCATION = re.compile(r"[a-z]{2,20}(?:-[a-z]{2,20}){1,2}\d{1,2}|global|us|eu")
_GENERATES = {"generateContent": False, "streamGenerateContent": True}
_PREDICTS = {"rawPredict": False, "streamRawPredict": True}
_CALLS = frozenset(
    {
        *(*_GENERATES, *_PREDICTS, "countTokens"),
        *("computeTokens", "embedContent", "predict"),
    }
)  # of any publisher's models, and of endpoints
_OPENAI = re.compile(r"/endpoints/([^/]+)/chat/completions")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]*")
"""Names of projects, models and endpoints; no server reads more than a name in one."""

_MAX_PATHS = 256
"""Paths whose meaning is remembered: there is one per model and operation."""

_COUNT = "count-tokens"
"""What stands in the model's place where tokens are only counted."""


class CloudPath(Struct, frozen=True, gc=False):
    """What a path of a cloud says.

    Attributes:
        cloud: whose it is.
        label: the path as it appears in metrics: out of a bounded set.
        provider: the module that reads its bodies; empty if they are passed through.
        path: the model and whether the answer is streamed.
        location: Vertex's, fit to be part of a host's name; empty: the path has none.
        refusal: why no such path exists; empty: it may.
        operator_methods: with which requests may be made under the operator's account.
    """

    cloud: Cloud
    label: str
    provider: str = ""
    path: PathView = NO_PATH
    location: str = ""
    refusal: str = ""
    operator_methods: frozenset[str] = _NOTHING


def choose(path: bytes, headers: list[tuple[bytes, bytes]]) -> CloudPath | None:
    """What a path says; ``None`` if it is of no cloud.

    Args:
        path: as received, percent-encoding and all.
        headers: names in lower case.
    """
    text = path.decode("latin-1")
    if text.startswith(_BEDROCK_PREFIXES) or _is_signed(headers):
        return _bedrock(text)
    if text.startswith("/v1"):
        return _vertex(text)
    return None


def _is_signed(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request is signed for Bedrock, and so meant for it."""
    return any(
        name == b"authorization" and value.startswith(b"AWS4-") and _SCOPE in value
        for name, value in headers
    )


@lru_cache(_MAX_PATHS)
def _bedrock(path: str) -> CloudPath:
    if path in _CHATS:
        return CloudPath("bedrock", path, "openai_chat", operator_methods=_POST)
    methods = _operation_methods(path)
    found = _MODEL.fullmatch(path)
    if found is None:
        return CloudPath("bedrock", "bedrock other", operator_methods=methods)
    segment, operation = found.groups()
    if operation == _BIDIRECTIONAL:
        refusal = "invoke-with-bidirectional-stream needs HTTP/2 and is not served here"
        return CloudPath("bedrock", "/model/*", refusal=refusal)
    named = model_id(segment)
    provider = ""
    if operation in _INVOKES and named.may_be_anthropic:
        provider = "bedrock"
    elif operation in _CONVERSES:
        provider = "bedrock_converse"
    is_known = operation in _INVOKES or operation in _CONVERSES
    label = f"/model/*/{operation}" if is_known else "/model/*"
    view = PathView(named.model, _STREAMS.get(operation, False))
    return CloudPath("bedrock", label, provider, view, operator_methods=methods)


def _operation_methods(path: str) -> frozenset[str]:
    """With which methods a path is an operation of Bedrock's runtime."""
    if not _DOTS.isdisjoint(unquote(path).split("/")):
        return _NOTHING  # it may mean another path than it looks like
    found = (methods for shape, methods in _OPERATIONS if shape.fullmatch(path))
    return next(found, _NOTHING)


@lru_cache(_MAX_PATHS)
def _vertex(path: str) -> CloudPath | None:
    found = _VERTEX.fullmatch(path)
    if found is None:
        return None
    version, project, location, inside, published_path = found.groups()
    location = unquote(location or "")
    if location and not _LOCATION.fullmatch(location):
        refusal = "there is no such location"
        return CloudPath("vertex", "vertex other", refusal=refusal)
    rest = inside or published_path or ""
    place = _Place(version, location, _is_name(project or "p"))
    if published := _PUBLISHED.fullmatch(rest):
        publisher, model, verb = published.groups()
        return _published(place, publisher, model, verb)
    if tuned := _TUNED.fullmatch(rest):
        return _gemini(place, f"endpoints/{tuned[1]}", tuned[2], "endpoints/*")
    if named := _OPENAI.fullmatch(rest):
        return CloudPath(
            "vertex",
            f"/{version}/*/chat/completions",
            "openai_chat",
            location=location,
            operator_methods=_posted(is_call=place.is_named and _is_name(named[1])),
        )
    return CloudPath("vertex", "vertex other", location=location)


class _Place(Struct, frozen=True):
    """What stands in front of a model: the version, whose, and where.

    Attributes:
        is_named: the project is a name and nothing more.
    """

    version: str
    location: str
    is_named: bool


def _posted(*, is_call: bool) -> frozenset[str]:
    """The methods of a path of Vertex's that is a call of a model, or is not."""
    return _POST if is_call else _NOTHING


def _is_name(segment: str) -> bool:
    return _NAME.fullmatch(unquote(segment)) is not None


def _published(place: _Place, publisher: str, model: str, verb: str) -> CloudPath:
    if publisher == "google":
        return _gemini(place, model, verb, "publishers/google/models/*")
    is_named = place.is_named and _is_name(publisher) and _is_name(model)
    if publisher != "anthropic":
        return CloudPath(
            "vertex",
            "vertex other",
            location=place.location,
            operator_methods=_posted(is_call=is_named and verb in _CALLS),
        )
    label = f"/{place.version}/*/publishers/anthropic/models/*"
    if verb not in _PREDICTS:
        return CloudPath("vertex", label, refusal="there is no such method of a model")
    model = unquote(model)
    return CloudPath(
        "vertex",
        f"{label}:{verb}",
        "" if model == _COUNT else "vertex",
        PathView(model, _PREDICTS[verb]),
        place.location,
        operator_methods=_posted(is_call=is_named),
    )


def _gemini(place: _Place, model: str, verb: str, shown: str) -> CloudPath:
    label = f"/{place.version}/*/{shown}"
    named = model.removeprefix("endpoints/")
    is_call = place.is_named and _is_name(named) and verb in _CALLS
    methods = _posted(is_call=is_call)
    if verb not in _GENERATES:
        return CloudPath(
            "vertex", label, location=place.location, operator_methods=methods
        )
    view = PathView(unquote(model), _GENERATES[verb])
    return CloudPath(
        "vertex", f"{label}:{verb}", "gemini", view, place.location, "", methods
    )
