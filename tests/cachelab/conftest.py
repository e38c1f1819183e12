"""Conversations of every shape, and proxies that do what they are told to a body."""

import contextlib
import json

import aiohttp
import pytest

from headroom.cachelab.server import serving

WORDS = "the parcel left the depot before noon and arrived two days later than planned "


def prose(words: int, salt: str = "") -> str:
    """About as many tokens as words, different for every salt."""
    return (f"{salt} " + WORDS * (words // 14 + 1)).strip()


def make_conversation(turns: int, output_words: int = 300) -> dict:
    """A coding conversation: system, one tool, and a call per turn."""
    messages: list[dict] = [{"role": "user", "content": "Find out what is slow."}]
    for turn in range(turns):
        call = {
            "type": "tool_use",
            "id": f"toolu_{turn:04d}",
            "name": "Bash",
            "input": {"command": f"step {turn}", "flags": ["-v", turn]},
        }
        text = {"type": "text", "text": f"Looking at part {turn}."}
        output = prose(output_words, f"part {turn}")
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": output}
        messages.append({"role": "assistant", "content": [text, call]})
        messages.append({"role": "user", "content": [result]})
    messages.append({"role": "assistant", "content": "It is the loop in part 3."})
    return {
        "model": "claude-sonnet-4-5",
        "system": prose(1200, "You are careful."),
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": messages,
    }


@pytest.fixture
def conversation_file(tmp_path):
    def write(turns: int = 6, name: str = "case", **changes) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**make_conversation(turns), **changes}))
        return path

    return write


@pytest.fixture
def proxy():
    """A proxy as an async context manager: ``proxy(upstream, change, ask)``.

    ``change`` makes the body that is sent; ``ask``, if given, is awaited with a
    function that posts upstream and with the client's body, and returns the answer.
    """

    @contextlib.asynccontextmanager
    async def start(upstream: str, change, ask=None):
        async with aiohttp.ClientSession() as session:

            async def app(scope, receive, send):
                body = b""
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if not message.get("more_body"):
                        break
                headers = {
                    name.decode(): value.decode()
                    for name, value in scope["headers"]
                    if name not in {b"host", b"content-length"}
                }

                async def post(body):
                    async with session.request(
                        scope["method"],
                        upstream + scope["path"],
                        data=body,
                        headers=headers,
                    ) as answer:
                        kind = answer.headers.get("content-type", "").encode()
                        return answer.status, kind, await answer.read()

                if scope["method"] == "POST" and ask is not None:
                    status, kind, data = await ask(post, body)
                else:
                    is_post = scope["method"] == "POST"
                    status, kind, data = await post(change(body) if is_post else body)
                await send(
                    {
                        "type": "http.response.start",
                        "status": status,
                        "headers": [(b"content-type", kind)],
                    }
                )
                await send({"type": "http.response.body", "body": data})

            async with serving(app) as url:
                yield url

    return start
