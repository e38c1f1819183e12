"""Error bodies in each provider's shape."""

import json

import pytest

from headroom.proxy import replies


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (413, "request_too_large"),
        (502, "api_error"),
        (504, "api_error"),
    ],
)
def test_anthropic_errors_have_its_types(status, kind):
    body = json.loads(replies.error_body("anthropic", status, "words", "code"))
    assert body == {"type": "error", "error": {"type": kind, "message": "words"}}


def test_openai_errors_carry_the_code():
    body = json.loads(replies.error_body("openai", 502, "words", "upstream_error"))
    assert body["error"] == {
        "message": "words",
        "type": "server_error",
        "param": None,
        "code": "upstream_error",
    }
    body = json.loads(replies.error_body("openai", 413, "words", "c"))
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "word"), [(504, "DEADLINE_EXCEEDED"), (502, "UNAVAILABLE")]
)
def test_gemini_errors_have_its_statuses(status, word):
    body = json.loads(replies.error_body("gemini", status, "words", "c"))
    assert body["error"] == {"code": status, "message": "words", "status": word}
