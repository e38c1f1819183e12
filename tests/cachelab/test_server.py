import io
import json

import aiohttp
import pytest

from headroom.cachelab.client import read_stream
from headroom.cachelab.lab import MAX_BODY_BYTES, Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from headroom.errors import ConfigError

HEADERS = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
MARK = {"type": "ephemeral"}


def request(words=1500, **more):
    block = {"type": "text", "text": "word " * words, "cache_control": MARK}
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [block]}],
        **more,
    }


class Api:
    def __init__(self, session, url, lab):
        self.session, self.url, self.lab = session, url, lab

    async def post(self, body, path="/v1/messages", headers=HEADERS):
        how = {"json": body}
        if isinstance(body, bytes):
            how = {"data": io.BytesIO(body)}
        url = self.url + path
        async with self.session.post(url, headers=headers, **how) as answer:
            return answer, await answer.read()

    async def json(self, body, path="/v1/messages", headers=HEADERS):
        answer, data = await self.post(body, path, headers)
        return answer.status, json.loads(data)


@pytest.fixture
async def api():
    lab = Lab(TokenCounter(), script=Script())
    async with serving(make_app(lab)) as url, aiohttp.ClientSession() as session:
        yield Api(session, url, lab)


async def test_usage_says_what_was_written_and_read(api):
    status, first = await api.json(request())
    assert status == 200
    usage = first["usage"]
    assert usage["cache_creation_input_tokens"] > 1024
    assert usage["cache_creation"]["ephemeral_1h_input_tokens"] == 0
    _, second = await api.json(request())
    assert (
        second["usage"]["cache_read_input_tokens"]
        == (usage["cache_creation_input_tokens"])
    )
    assert second["usage"]["input_tokens"] == 0


async def test_a_stream_says_the_same_as_a_whole_answer(api):
    _, whole = await api.json(request())
    answer, data = await api.post(request(stream=True))
    assert answer.content_type == "text/event-stream"
    assert answer.headers["request-id"].startswith("req_")
    blocks, problem = read_stream(data)
    assert problem == ""
    assert blocks == whole["content"]


async def test_caches_belong_to_the_key(api):
    await api.json(request())
    _, other = await api.json(request(), headers={**HEADERS, "x-api-key": "another"})
    assert other["usage"]["cache_read_input_tokens"] == 0
    bearer = {"authorization": "Bearer sk-ant-test", "anthropic-version": "2023-06-01"}
    _, same = await api.json(request(), headers=bearer)
    assert same["usage"]["cache_read_input_tokens"] > 0


async def test_chat_completions_are_cached_without_markers(api):
    body = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "word " * 1500}],
    }
    headers = {"authorization": "Bearer sk-test"}
    path = "/v1/chat/completions"
    _, first = await api.json(body, path, headers)
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    answer, data = await api.post(body, path, headers)
    assert answer.headers["x-request-id"].startswith("req_")
    usage = json.loads(data)["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == usage["prompt_tokens"] // 128 * 128 >= 1408
    other = {**body, "prompt_cache_key": "another"}
    _, third = await api.json(other, path, headers)
    assert third["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    answer, data = await api.post({**body, "stream": True}, path, headers)
    assert answer.content_type == "text/event-stream"
    assert data.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in data


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"messages": []}, {"authorization": "Bearer k"}, 400),
        (b"{", {"authorization": "Bearer k"}, 400),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}]}, {}, 401),
    ],
)
async def test_chat_errors_have_that_apis_shape(api, body, headers, status):
    found, answer = await api.json(body, "/v1/chat/completions", headers)
    assert found == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert api.lab.records[-1].error == answer["error"]["message"]


async def test_errors_have_the_providers_shape(api):
    answer, data = await api.post({"model": "claude-sonnet-4-5", "messages": []})
    body = json.loads(data)
    assert answer.status == 400
    assert body["type"] == "error"
    assert body["error"] == {
        "type": "invalid_request_error",
        "message": "max_tokens: Field required",
    }
    assert body["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "k"}, 400, "invalid_request_error"),
    ],
)
async def test_a_key_and_a_version_are_required(api, headers, status, kind):
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        found, body = await api.json(request(), path, headers)
        assert (found, body["error"]["type"]) == (status, kind)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"[]", b"\xff"])
async def test_what_is_no_request_is_refused(api, body):
    status, answer = await api.json(body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert (await api.json(request()))[0] == 200


async def test_bodies_over_the_limit_are_refused(api):
    status, body = await api.json(b" " * (MAX_BODY_BYTES + 1))
    assert (status, body["error"]["type"]) == (413, "request_too_large")


async def test_tokens_are_counted_without_a_bill(api):
    body = request()
    del body["max_tokens"]
    status, counted = await api.json(body, "/v1/messages/count_tokens")
    assert status == 200
    _, billed = await api.json(request())
    assert counted["input_tokens"] == billed["usage"]["cache_creation_input_tokens"]
    assert (await api.json(b"{", "/v1/messages/count_tokens"))[0] == 400
    assert (await api.json({}, "/v1/messages/count_tokens"))[0] == 400


async def test_models_are_listed_and_other_paths_are_not_found(api):
    async with api.session.get(api.url + "/v1/models") as answer:
        assert (await answer.json())["data"][0]["type"] == "model"
    assert (await api.json({}, "/v1/unknown"))[0] == 404
    async with api.session.get(api.url + "/v1/messages") as answer:
        assert answer.status == 405


async def test_the_clock_is_advanced_from_outside(api):
    await api.json(request())
    status, answer = await api.json({"advance_s": 301}, "/cachelab/clock")
    assert (status, answer) == (200, {"clock_s": 301.0})
    _, later = await api.json(request())
    assert later["usage"]["cache_read_input_tokens"] == 0
    assert (await api.json({"by": 1}, "/cachelab/clock"))[0] == 400


async def test_statistics_and_reset(api):
    session = {"user_id": "user_a_account_b_session_one"}
    await api.json(request(metadata=session))
    await api.json(request(metadata=session, messages=[]))
    async with api.session.get(api.url + "/cachelab/stats") as answer:
        found = (await answer.json())["conversations"]["one"]
    assert found["requests"] == 2
    assert found["errors"] == ["messages: at least one message is required"]
    assert found["usage"]["write_5m"] > 1024
    assert found["cost"] == pytest.approx(1.25 * found["usage"]["write_5m"])
    await api.json({}, "/cachelab/reset")
    assert api.lab.records == []
    _, again = await api.json(request(metadata=session))
    assert again["usage"]["cache_read_input_tokens"] == 0
    assert (await api.json({}, "/cachelab/unknown"))[0] == 404


async def test_preserved_thinking_is_checked_over_the_wire():
    lab = Lab(TokenCounter(), script=Script(thinks=True))
    async with serving(make_app(lab)) as url, aiohttp.ClientSession() as session:
        api = Api(session, url, lab)
        _, answer = await api.json(request(model="claude-opus-5-5"))
        history = request()["messages"]
        history += [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "Go on."},
        ]
        good = request(model="claude-opus-5-5", messages=history)
        assert (await api.json(good))[0] == 200
        changed = {**good, "system": "You are careful."}
        status, refused = await api.json(changed)
        assert status == 400
        assert refused["error"]["message"].startswith(
            "messages.1.content.0: Invalid `signature` in `thinking` block. The block "
            "is bound to a different conversation."
        )
        binding = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
        dropping = {**changed, "thinking": {"type": "adaptive", **binding}}
        beta = {**HEADERS, "anthropic-beta": "thinking-binding-controls-2026-08-01"}
        assert (await api.json(dropping, headers=beta))[0] == 200
        assert lab.records[-1].thinking_dropped == 1


async def test_a_taken_port_is_told(api):
    port = int(api.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match="cannot listen"):
        async with serving(make_app(api.lab), port):
            pass
