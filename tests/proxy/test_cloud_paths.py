"""What paths of Bedrock and Vertex say."""

import re

import pytest
from botocore.session import Session

from headroom.core.types import PathView
from headroom.proxy.cloud_paths import choose
from headroom.proxy.routes import choose as choose_route

PLACE = "/v1/projects/acme/locations/us-east5"
ARN = (
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A123%3Ainference-profile%2Feu.anthropic.claude-x"
)


@pytest.mark.parametrize(
    ("path", "label", "provider", "view"),
    [
        (
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke",
            "/model/*/invoke",
            "bedrock",
            PathView("anthropic.claude-3-haiku-20240307-v1:0", is_stream=False),
        ),
        (
            "/model/global.anthropic.claude-x/invoke-with-response-stream",
            "/model/*/invoke-with-response-stream",
            "bedrock",
            PathView("anthropic.claude-x", is_stream=True),
        ),
        (
            f"/model/{ARN}/converse",
            "/model/*/converse",
            "bedrock_converse",
            PathView("anthropic.claude-x", is_stream=False),
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:1:provisioned-model/abc/converse-stream",
            "/model/*/converse-stream",
            "bedrock_converse",
            PathView("abc", is_stream=True),
        ),
        (
            "/model/us.amazon.nova-pro-v1:0/invoke",
            "/model/*/invoke",
            "",
            PathView("amazon.nova-pro-v1:0", is_stream=False),
        ),
        (
            "/model/meta.llama3-8b/count-tokens",
            "/model/*",
            "",
            PathView("meta.llama3-8b", is_stream=False),
        ),
        ("/guardrail/g/version/1/apply", "bedrock other", "", PathView()),
        ("/async-invoke", "bedrock other", "", PathView()),
    ],
)
def test_a_path_of_bedrock_says_model_and_stream(path, label, provider, view):
    found = choose(path.encode(), [])
    assert (found.cloud, found.label, found.provider) == ("bedrock", label, provider)
    assert found.path == view
    assert not found.refusal


def operations(id_in_path):
    """Methods by path, of all operations of the runtime in AWS's service model."""
    model = Session().get_service_model("bedrock-runtime")
    found = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = re.sub(r"\{\w+\}", id_in_path, http["requestUri"])
        found.setdefault(path, set()).add(http["method"])
    return found


@pytest.mark.parametrize(
    "model_id",
    ["anthropic.claude-x-v1%3A0", ARN, "arn:aws:bedrock:us-east-1:1:a-model/abc"],
)
def test_the_operations_signed_for_are_those_of_awss_service_model(model_id):
    listed = operations(model_id)
    two_ways = listed.pop(f"/model/{model_id}/invoke-with-bidirectional-stream")
    found = {path: choose(path.encode(), []) for path in listed}
    assert {path: set(say.operator_methods) for path, say in found.items()} == listed
    assert two_ways == {"POST"}
    assert len(found) >= 9


def test_a_stream_of_both_ways_is_refused_with_the_reason():
    found = choose(b"/model/amazon.nova-sonic/invoke-with-bidirectional-stream", [])
    assert "HTTP/2" in found.refusal
    assert not found.operator_methods


@pytest.mark.parametrize(
    "path",
    [
        "/model/m/invoke-agent",
        "/model/m",
        "/model/m/n/invoke",
        "/model//invoke",
        "/model/../invoke",
        "/model/%2E%2e/invoke",
        "/model/arn:aws:x/../converse",
        "/model/a%2F..%2Fb/converse",
        "/model/m#/invoke",
        "/model/m?/invoke",
        "/model/m/invoke/",
        "/guardrail/g/version/1",
        "/guardrail-checks/other",
        "/async-invoke/a/b",
        "/async-invoke-more",
    ],
)
def test_other_paths_of_bedrocks_host_are_not_signed(path):
    found = choose(path.encode(), [])
    assert found.cloud == "bedrock"
    assert not found.operator_methods


def test_what_is_signed_for_bedrock_goes_there_whatever_its_path():
    scope = b"AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/bedrock/aws4_request, S"
    found = choose(b"/new-thing", [(b"authorization", scope)])
    assert (found.cloud, found.operator_methods) == ("bedrock", frozenset())
    other = scope.replace(b"/bedrock/", b"/s3/")
    assert choose(b"/new-thing", [(b"authorization", other)]) is None


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", "/v1/chat/completions"]
)
def test_chats_that_are_signed_for_bedrock_are_chats_there(path):
    scope = b"AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/bedrock/aws4_request, S"
    route = choose_route(path.encode(), [(b"authorization", scope)])
    assert (route.api, route.upstream) == ("openai", "bedrock")
    assert (route.provider, route.operator_methods) == ("openai_chat", {"POST"})
    assert choose(path.encode(), []) is None


@pytest.mark.parametrize(
    ("path", "label", "provider", "view"),
    [
        (
            "/publishers/anthropic/models/claude-opus-4%4020250514:rawPredict",
            "/v1/*/publishers/anthropic/models/*:rawPredict",
            "vertex",
            PathView("claude-opus-4@20250514", is_stream=False),
        ),
        (
            "/publishers/anthropic/models/claude-opus-4:streamRawPredict",
            "/v1/*/publishers/anthropic/models/*:streamRawPredict",
            "vertex",
            PathView("claude-opus-4", is_stream=True),
        ),
        (
            "/publishers/anthropic/models/odd:name:rawPredict",
            "/v1/*/publishers/anthropic/models/*:rawPredict",
            "vertex",
            PathView("odd:name", is_stream=False),
        ),
        (
            "/publishers/google/models/gemini-2.5-pro:streamGenerateContent",
            "/v1/*/publishers/google/models/*:streamGenerateContent",
            "gemini",
            PathView("gemini-2.5-pro", is_stream=True),
        ),
        (
            "/endpoints/77:generateContent",
            "/v1/*/endpoints/*:generateContent",
            "gemini",
            PathView("endpoints/77", is_stream=False),
        ),
        (
            "/endpoints/openapi/chat/completions",
            "/v1/*/chat/completions",
            "openai_chat",
            PathView(),
        ),
        ("/publishers/mistralai/models/m:rawPredict", "vertex other", "", PathView()),
        ("/batchPredictionJobs", "vertex other", "", PathView()),
        ("", "vertex other", "", PathView()),
    ],
)
def test_a_path_of_vertex_is_split_at_its_last_colon(path, label, provider, view):
    found = choose(f"{PLACE}{path}".encode(), [])
    assert (found.cloud, found.label, found.provider) == ("vertex", label, provider)
    assert (found.path, found.location, found.refusal) == (view, "us-east5", "")


@pytest.mark.parametrize(
    "location", ["us-east5", "europe-west1", "asia-northeast1", "global", "us", "eu"]
)
def test_locations_that_look_like_googles_become_part_of_a_host(location):
    path = f"/v1beta1/projects/p/locations/{location}/endpoints/1:predict"
    assert choose(path.encode(), []).location == location


@pytest.mark.parametrize(
    "location",
    [
        "evil",
        "us-east5.evil",
        "us-east5%2Fx",
        "a%40b",
        "-",
        "US-EAST5",
        "%0a",
        "us_east5",
    ],
)
def test_other_locations_are_refused(location):
    path = f"/v1/projects/p/locations/{location}/endpoints/1:predict"
    found = choose(path.encode(), [])
    assert found.refusal
    assert not found.location


MODELS = f"{PLACE}/publishers/google/models"


@pytest.mark.parametrize(
    ("path", "is_call"),
    [
        (f"{MODELS}/gemini-2.5-pro:generateContent", True),
        (f"{MODELS}/gemini-2.5-pro:streamGenerateContent", True),
        (f"{MODELS}/gemini-2.5-pro:countTokens", True),
        (f"{PLACE}/publishers/anthropic/models/claude-x:rawPredict", True),
        (f"{PLACE}/publishers/anthropic/models/claude-x:streamRawPredict", True),
        (f"{PLACE}/publishers/mistralai/models/m:streamRawPredict", True),
        (f"{PLACE}/endpoints/77:generateContent", True),
        (f"{PLACE}/endpoints/openapi/chat/completions", True),
        (f"{MODELS}/gemini-2.5-pro:setIamPolicy", False),
        (f"{MODELS}/gemini-2.5-pro", False),
        (f"{MODELS}/..%2F..%2Fx:generateContent", False),
        (f"{PLACE}/publishers/..%2Fx/models/m:rawPredict", False),
        (f"{PLACE}/endpoints/77:predict", True),
        (f"{PLACE}/endpoints/77:undeployModel", False),
        (f"{PLACE}/endpoints/a/b/chat/completions", False),
        (f"{PLACE}/endpoints/../chat/completions", False),
        (f"{PLACE}/customJobs", False),
        (f"{PLACE}/publishers/mistralai/models/m:predict", True),
        (f"{MODELS}/text-embedding-005:predict", True),
        (f"{MODELS}/gemini-embedding-2:embedContent", True),
        (f"{MODELS}/gemini-2.5-pro:computeTokens", True),
        ("/v1/projects/../locations/us/endpoints/1:generateContent", False),
        ("/v1/projects/a%2Fb/locations/us/endpoints/1:generateContent", False),
    ],
)
def test_only_calls_of_models_may_be_made_under_the_operators_account(path, is_call):
    methods = choose(path.encode(), []).operator_methods
    assert methods == ({"POST"} if is_call else set())


@pytest.mark.parametrize("verb", ["predict", "generateContent", "", "rawPredictX"])
def test_methods_that_claude_has_not_are_refused(verb):
    path = f"{PLACE}/publishers/anthropic/models/claude-x:{verb}"
    assert choose(path.encode(), []).refusal


def test_tokens_that_are_only_counted_are_not_read():
    path = f"{PLACE}/publishers/anthropic/models/count-tokens:rawPredict"
    assert choose(path.encode(), []).provider == ""


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages",
        "/v1/chat/completions",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "/v1/projects",
        "/v1/projects/p/locations",
        "/models/x/invoke",
        "/",
        "",
    ],
)
def test_paths_of_others_are_theirs(path):
    assert choose(path.encode(), []) is None


def test_routes_have_the_error_shapes_that_each_clouds_clients_expect():
    shapes = {
        "/model/anthropic.claude-x/invoke": ("bedrock", "bedrock"),
        f"{PLACE}/publishers/anthropic/models/c:rawPredict": ("gemini", "vertex"),
        f"{PLACE}/endpoints/openapi/chat/completions": ("openai", "vertex"),
    }
    for path, expected in shapes.items():
        route = choose_route(path.encode(), [])
        assert (route.api, route.upstream) == expected
