"""Answers of a scripted Gemini, in each of the API's three forms."""

import json

from scripted import TOOL, Drive

FORMS = ("sse", "array", "whole")


def text(words, **more):
    return {"text": words, **more}


def thought(words):
    return {"text": words, "thought": True}


def call(number, name="shell", *, is_signed=True, **arguments):
    part = {"functionCall": {"name": name, "args": {"n": number, **arguments}}}
    return {**part, "thoughtSignature": f"sig{number}"} if is_signed else part


def retrieval(number, *, is_signed=True):
    part = {"functionCall": {"name": TOOL, "args": {"hash": f"{number:024x}"}}}
    return {**part, "thoughtSignature": f"sig{number}"} if is_signed else part


def is_hidden(part):
    return part.get("functionCall", {}).get("name") == TOOL


def chunk(parts, number, *, reason=None, output=None):
    """One event, or a whole answer."""
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 100 * (number + 1), "cachedContentTokenCount": 40}
    if output is not None:
        usage |= {"candidatesTokenCount": output, "thoughtsTokenCount": 3}
        usage["totalTokenCount"] = usage["promptTokenCount"] + output + 3
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "gemini-x",
        "responseId": f"resp_{number}",
    }


def pieces(parts):
    """Parts as a stream has them: texts in two."""
    for part in parts:
        words = part.get("text", "")
        if len(words) > 1 and "thoughtSignature" not in part:
            half = len(words) // 2
            yield {**part, "text": words[:half]}
            yield {**part, "text": words[half:]}
        else:
            yield part


def events(parts, number, *, reason="STOP", output=10, ends_apart=True):
    """The events of one streamed answer."""
    *first, last = [*pieces(parts), text("")] if ends_apart else list(pieces(parts))
    found = [chunk([part], number) for part in first]
    return [*found, chunk([last], number, reason=reason, output=output)]


def framed(found, form):
    """Events as bytes."""
    raws = [json.dumps(event, ensure_ascii=False).encode() for event in found]
    if form == "sse":
        return b"".join(b"data: %b\r\n\r\n" % raw for raw in raws)
    return b"[%b\n]\n" % b",\r\n".join(raws)


def told(data, form):
    """The events, or the one answer, that a client reads."""
    if form == "whole":
        return [json.loads(data)]
    if form == "array":
        return json.loads(data)
    frames = [frame for frame in data.split(b"\r\n\r\n") if frame]
    assert all(frame.startswith(b"data: {") for frame in frames)
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames]


def parts_of(found, *, joins=True, keeps_thoughts=False):
    """The parts of all events as a client keeps them."""
    kept = []
    for event in found:
        for candidate in event.get("candidates", ()):
            for part in candidate.get("content", {}).get("parts", ()):
                if part.get("thought") and not keeps_thoughts:
                    continue
                is_plain = set(part) == {"text"}
                if joins and is_plain and kept and set(kept[-1]) == {"text"}:
                    kept[-1] = {"text": kept[-1]["text"] + part["text"]}
                elif part != {"text": ""}:
                    kept.append(part)
    return kept


class GeminiDrive(Drive):
    """One answer taken through all its rounds, in one of the API's forms."""

    api = "gemini"

    def __init__(
        self, rounds, body, form="sse", *, ends_apart=True, cut=lambda data: [data]
    ):
        self._form = form
        self._ends_apart = ends_apart
        super().__init__(rounds, body, is_stream=form == "sse", cut=cut)

    def data(self, blocks, number, *, is_stream):
        """What the provider sends in one round."""
        if isinstance(blocks, bytes):
            return blocks
        if self._form == "whole":
            answer = chunk(list(blocks), number, reason="STOP", output=10)
            return json.dumps(answer, ensure_ascii=False).encode()
        found = events(blocks, number, ends_apart=self._ends_apart)
        return framed(found, "sse" if is_stream else "array")

    def told(self):
        """What the client read."""
        return told(self.out, self._form)
