"""What model ids of Bedrock say."""

import pytest

from headroom.providers.bedrock.model_ids import ModelId, model_id
from headroom.providers.models import model_named

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "segment",
    [
        SONNET,
        SONNET.replace(":", "%3A"),
        *(f"{place}.{SONNET}" for place in ("us", "eu", "apac", "global", "us-gov")),
        f"arn:aws:bedrock:us-east-1:1:inference-profile/us.{SONNET}",
        f"arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2F{SONNET}",
    ],
)
def test_every_spelling_is_the_same_model_without_its_geography(segment):
    found = model_id(segment)
    assert found == ModelId("anthropic", SONNET)
    assert found.may_be_anthropic
    known = model_named(found.model)
    assert (known.tier, known.version) == ("sonnet", (4, 5))


@pytest.mark.parametrize(
    ("segment", "vendor"),
    [
        ("us.amazon.nova-pro-v1:0", "amazon"),
        ("meta.llama3-1-70b-instruct-v1:0", "meta"),
        ("mistral.mistral-large-2407-v1:0", "mistral"),
    ],
)
def test_other_vendors_are_told(segment, vendor):
    found = model_id(segment)
    assert (found.vendor, found.may_be_anthropic) == (vendor, False)


@pytest.mark.parametrize(
    "segment",
    [
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3",
        "arn:aws:bedrock:us-east-1:1:imported-model/x",
        "us.",
        ".",
        "",
        "%",
        "%ff%fe",
        "a" * 5000,
    ],
)
def test_an_id_that_does_not_tell_may_be_anyones(segment):
    found = model_id(segment)
    assert found.vendor == ""
    assert found.may_be_anthropic
