"""Which provider a request is for."""

import pytest

from headroom.core.types import PathView
from headroom.proxy import routes
from loopback import client, get, post, provider, proxy

ANTHROPIC_KEY = (b"x-api-key", b"sk-ant-api03-x")
ANTHROPIC_TOKEN = (b"authorization", b"Bearer sk-ant-oat01-x")
OPENAI_KEY = (b"authorization", b"Bearer sk-proj-x")
GOOGLE_KEY = (b"x-goog-api-key", b"AIza")


@pytest.mark.parametrize(
    ("path", "headers", "api"),
    [
        (b"/v1/messages", [], "anthropic"),
        (b"/v1/messages/count_tokens", [], "anthropic"),
        (b"/v1/messages/batches/b1/results", [], "anthropic"),
        (b"/v1/complete", [], "anthropic"),
        (b"/v1/chat/completions", [], "openai"),
        (b"/v1/chat/completions", [OPENAI_KEY], "openai"),
        (b"/v1/chat/completions", [ANTHROPIC_TOKEN], "anthropic"),
        (b"/v1/responses/r1", [], "openai"),
        (b"/v1/models", [], "openai"),
        (b"/v1/models", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        (b"/v1/models", [ANTHROPIC_KEY], "anthropic"),
        (b"/v1/models", [OPENAI_KEY], "openai"),
        (b"/v1/models/g-2:generateContent", [], "gemini"),
        (b"/v1/files", [OPENAI_KEY], "openai"),
        (b"/v1/files", [ANTHROPIC_TOKEN], "anthropic"),
        (b"/v1/files", [GOOGLE_KEY], "gemini"),
        (b"/v1beta/models/g:streamGenerateContent", [], "gemini"),
        (b"/api/event_logging/batch", [], "anthropic"),
        (b"/somewhere", [GOOGLE_KEY], "gemini"),
        (b"/embeddings", [OPENAI_KEY], "openai"),
        (b"/models", [(b"authorization", b"bearer  sk-svcacct-x")], "openai"),
        (b"/models", [(b"authorization", b"Bearer sk-of-some-gateway")], "anthropic"),
    ],
)
def test_a_path_and_its_credentials_choose_the_provider(path, headers, api):
    assert routes.choose(path, headers).api == api


@pytest.mark.parametrize(
    ("path", "query", "headers", "api"),
    [
        (b"/v1/models", b"key=AIzaX", [], "gemini"),
        (b"/v1/models", b"pageSize=5&key=anything", [], "gemini"),
        (b"/v1/models/gemini-2.5-pro", b"key=AIzaX", [], "gemini"),
        (b"/v1/models/gemini-2.5-pro:generateContent", b"key=AIzaX", [], "gemini"),
        (b"/v1/files", b"key=AQ.x", [(b"authorization", b"Bearer ya29.x")], "gemini"),
        (b"/ws/google.ai.BidiGenerateContent", b"key=AIzaX", [], "gemini"),
        (b"/v1/models", b"key=", [], "openai"),
        (b"/v1/models", b"apikey=AIzaX", [], "openai"),
        (b"/v1/files", b"key=x", [(b"authorization", b"Bearer sk-x")], "openai"),
        (b"/v1/files", b"key=AIzaX", [OPENAI_KEY], "openai"),
        (b"/v1/models", b"key=AIzaX", [ANTHROPIC_KEY], "anthropic"),
        (b"/v1/messages", b"key=AIzaX", [], "anthropic"),
    ],
)
def test_googles_key_in_the_query_goes_to_google(path, query, headers, api):
    assert routes.choose(path, headers, query).api == api


@pytest.mark.parametrize(
    "target", [b"/v1/models?key=AIzaX", b"/v1/models/g-2?alt=json&key=AIzaX"]
)
async def test_a_list_of_models_is_googles_where_the_key_is(target):
    async with provider() as google, provider() as openai:
        started = proxy(openai.url, GEMINI_URL=google.url)
        async with started as px, client(px) as c:
            await c.send(get(target))
            assert (await c.response())[0] == 200
        assert [request.target for request in google.requests] == [target]
        assert openai.requests == []


def test_only_the_messages_path_itself_is_read():
    read = [
        path
        for path in (
            b"/v1/messages",
            b"/v1/messages/",
            b"/v1/messages/count_tokens",
            b"/v1/messages/batches",
            b"/v1/Messages",
            b"/v1/%6Dessages",
        )
        if routes.choose(path, []).provider
    ]
    assert read == [b"/v1/messages"]


@pytest.mark.parametrize(
    ("path", "headers", "api", "label"),
    [
        (b"/v1/chat/completions", [OPENAI_KEY], "openai", "/v1/chat/completions"),
        (b"/v1/chat/completions", [ANTHROPIC_KEY], "anthropic", "/v1/chat/completions"),
        (b"/api/v1/chat/completions", [], "openai", "*/chat/completions"),
        (b"/chat/completions", [], "openai", "*/chat/completions"),
        (b"/api/paas/v4/chat/completions", [], "openai", "*/chat/completions"),
        (b"/compatible-mode/v1/chat/completions", [], "openai", "*/chat/completions"),
        (b"/openai/deployments/d/chat/completions", [], "openai", "*/chat/completions"),
        (b"/v1beta/openai/chat/completions", [], "gemini", "*/chat/completions"),
        (b"/x/chat/completions", [ANTHROPIC_TOKEN], "anthropic", "*/chat/completions"),
    ],
)
def test_chat_completions_are_read_under_any_base_url(path, headers, api, label):
    assert routes.choose(path, headers) == routes.Route(api, label, "openai_chat")


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/chat/completions/chatcmpl-1",
        b"/v1/chat/completions/",
        b"/v1/completions",
        b"/v1/chat",
    ],
)
def test_what_is_no_chat_request_is_not_read(path):
    assert routes.choose(path, [OPENAI_KEY]).provider == ""


def test_labels_come_from_a_bounded_set():
    paths = [b"/v1/x%d" % n for n in range(50)] + [b"/%d" % n for n in range(50)]
    assert {routes.choose(path, []).label for path in paths} == {"/v1/*", "other"}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (b"/v1/messages", {b"authorization", b"x-api-key"}),
        (b"/v1beta/models/g:generateContent", {b"x-goog-api-key"}),
    ],
)
async def test_credentials_go_to_no_other_provider(path, kept):
    sent = [
        b"authorization: Bearer sk-ant-oat01-x",
        b"x-api-key: sk-ant-api03-y",
        b"x-goog-api-key: AIza",
    ]
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", path=path, headers=sent))
        await c.response()
    names = {name.lower() for name, _ in up.requests[0].headers}
    secret = {b"authorization", b"x-api-key", b"x-goog-api-key"}
    assert names & secret == kept


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("prefix", ["", "/gemini", "/a/b"])
@pytest.mark.parametrize(
    ("method", "is_stream"),
    [("generateContent", False), ("streamGenerateContent", True)],
)
def test_gemini_paths_name_model_and_form(version, prefix, method, is_stream):
    path = f"{prefix}/{version}/models/gemini-2.5%2Dpro:{method}".encode()
    assert routes.choose(path, [OPENAI_KEY]) == routes.Route(
        "gemini",
        f"/{version}/models/*:{method}",
        "gemini",
        PathView("gemini-2.5-pro", is_stream=is_stream),
    )


@pytest.mark.parametrize(
    "path",
    [
        b"/v1beta/models/g:countTokens",
        b"/v1beta/models/g:embedContent",
        b"/v1beta/models/g:batchGenerateContent",
        b"/v1beta/models/g",
        b"/v1beta/models/a/b:generateContent",
        b"/v1beta/cachedContents",
        b"/v2/models/g:generateContent",
        b"/v1internal:generateContent",
        b"/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
    ],
)
def test_what_is_no_gemini_request_is_not_read(path):
    assert routes.choose(path, [GOOGLE_KEY]).provider == ""
