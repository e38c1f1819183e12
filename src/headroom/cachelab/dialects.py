"""All APIs but Messages as the lab speaks them: one value each, all that differs in it.

The lab, the client of a replay and the readers of recordings take a ``Dialect`` and
know no API by name. Pure.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.cachelab import (
    chat,
    chat_answer,
    gemini,
    gemini_answer,
    responses,
    responses_answer,
)
from headroom.cachelab.cache import Usage
from headroom.cachelab.prefix import Json
from headroom.providers.models import CacheRules

Other: TypeAlias = Literal["chat", "responses", "gemini"]
Read: TypeAlias = Callable[[bytes], tuple[list[Json], str]]


class Dialect(Struct, frozen=True):
    """One API in the words of the Messages API, and back.

    Attributes:
        family: whose cache rules apply, as views name it.
        history: the member of a request that holds the conversation.
        refusals: the API's words for what is wrong with a request.
        as_messages: a request as one that ``prefix`` lays out.
        from_messages: a Messages conversation as one of this API.
        turn_ends: where the answers begin in a conversation.
        answers: what the model says in a conversation, as blocks.
        follow_up: what the user says after a conversation's last message.
        settings: what a client sets beside the conversation, streaming or not.
        answer: an answer of blocks, to a request with an id, billed as told.
        said: the blocks of an answer.
        pieces: the stream of an answer to a request.
        read_stream: blocks of a stream, and what is wrong with it.
        read_whole: the same of a JSON answer.
        error: an error of a status, with words and a code.
        system: the member for what the operator says, if it is not in the history.
        key_header: where the credential stands.
        is_named_by_path: the path says model and form, and nothing in a request can
            name its conversation but the credential.
    """

    family: str
    history: str
    refusals: Callable[[Json], Iterator[str]]
    as_messages: Callable[[Json], Json]
    from_messages: Callable[[Json], Json]
    turn_ends: Callable[[list[Json]], list[int]]
    answers: Callable[[list[Json]], list[list[Json]]]
    follow_up: Callable[[list[Json], str], list[Json]]
    settings: Callable[[bool], Json]
    answer: "Callable[[Json, list[Json], Billed], Json]"
    said: Callable[[Json], list[Json]]
    pieces: Callable[[Json], Callable[[Json], Iterator[bytes]]]
    read_stream: Read
    read_whole: Read
    error: Callable[[int, str, str | None], Json] = chat_answer.error
    system: str = ""
    key_header: str = "authorization"
    is_named_by_path: bool = False


class Billed(Struct, frozen=True):
    """What an answer tells of its request: its id, and what was counted."""

    request_id: str
    usage: Usage
    output_tokens: int
    rules: CacheRules


def _chat_answer(request: Json, blocks: list[Json], billed: Billed) -> Json:
    usage = chat_answer.usage_of(billed.usage, billed.output_tokens, billed.rules)
    request_id = billed.request_id
    return chat_answer.completion(request, blocks, usage, request_id=request_id)


def _chat_pieces(request: Json) -> Callable[[Json], Iterator[bytes]]:
    options = request.get("stream_options") or {}
    has_usage = options.get("include_usage") is True
    return functools.partial(chat_answer.chunks, has_usage=has_usage)


def _chat_settings(is_stream: bool) -> Json:
    if not is_stream:
        return {}
    return {"stream": True, "stream_options": {"include_usage": True}}


def _response(request: Json, blocks: list[Json], billed: Billed) -> Json:
    usage = responses_answer.usage_of(billed.usage, billed.output_tokens, billed.rules)
    answer_id = billed.request_id.replace("req_", "resp_")
    return responses_answer.response(request, blocks, usage, answer_id=answer_id)


def _responses_settings(is_stream: bool) -> Json:
    kept = {"store": False, "include": ["reasoning.encrypted_content"]}
    return {**kept, "stream": True} if is_stream else kept


def _gemini_answer(request: Json, blocks: list[Json], billed: Billed) -> Json:
    usage = gemini_answer.usage_of(billed.usage, billed.output_tokens)
    answer_id = billed.request_id.removeprefix("req_")
    return gemini_answer.answer(request, blocks, usage, answer_id=answer_id)


def _gemini_pieces(request: Json) -> Callable[[Json], Iterator[bytes]]:
    is_array = request.get("alt") == "json"
    return gemini_answer.array_chunks if is_array else gemini_answer.chunks


DIALECTS: dict[Other, Dialect] = {
    "chat": Dialect(
        family="openai_chat",
        history="messages",
        refusals=chat.refusals,
        as_messages=chat.as_messages,
        from_messages=chat.from_messages,
        turn_ends=chat.turn_ends,
        answers=chat.answers,
        follow_up=chat.follow_up,
        settings=_chat_settings,
        answer=_chat_answer,
        said=lambda answer: chat.blocks_of(answer["choices"][0]["message"]),
        pieces=_chat_pieces,
        read_stream=chat_answer.read_stream,
        read_whole=chat_answer.read_whole,
    ),
    "responses": Dialect(
        family="openai_responses",
        history="input",
        refusals=responses.refusals,
        as_messages=responses.as_messages,
        from_messages=responses.from_messages,
        turn_ends=responses.turn_ends,
        answers=responses.answers,
        follow_up=responses.follow_up,
        settings=_responses_settings,
        answer=_response,
        said=lambda answer: responses.blocks_of(answer["output"]),
        pieces=lambda _: responses_answer.chunks,
        read_stream=responses_answer.read_stream,
        read_whole=responses_answer.read_whole,
    ),
    "gemini": Dialect(
        family="gemini",
        history="contents",
        refusals=gemini.refusals,
        as_messages=gemini.as_messages,
        from_messages=gemini.from_messages,
        turn_ends=gemini.turn_ends,
        answers=gemini.answers,
        follow_up=gemini.follow_up,
        settings=lambda _: {},
        answer=_gemini_answer,
        said=lambda answer: gemini.blocks_of(
            answer["candidates"][0]["content"]["parts"]
        ),
        pieces=_gemini_pieces,
        read_stream=gemini_answer.read_stream,
        read_whole=gemini_answer.read_whole,
        error=lambda status, text, _: gemini_answer.error(status, text),
        system="systemInstruction",
        key_header="x-goog-api-key",
        is_named_by_path=True,
    ),
}
