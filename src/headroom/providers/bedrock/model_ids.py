"""What a Bedrock model id says: whose model it is, and what the model is called.

An id is a model's (``anthropic.claude-sonnet-4-5-20250929-v1:0``), an inference
profile's (the same behind a geography: ``us.``, ``eu.``, ``apac.``, ``global.``), or an
ARN that ends in one of these, or in a name that tells nothing (application profiles,
imported and provisioned models)
(https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html).
"""

from urllib.parse import unquote

from msgspec import Struct

GEOGRAPHIES = frozenset(
    {"us", "us-gov", "eu", "apac", "global", "jp", "au", "ca", "sa", "me", "af"}
)
_ANTHROPIC = "anthropic"


class ModelId(Struct, frozen=True, gc=False):
    """One id.

    Attributes:
        vendor: whose model it is, as Bedrock writes it; empty if the id does not tell.
        model: the model's name without geography; the whole id if it does not tell.
    """

    vendor: str
    model: str

    @property
    def may_be_anthropic(self) -> bool:
        """Whether it is a model of Anthropic's, as far as the id tells."""
        return self.vendor in {"", _ANTHROPIC}


def model_id(segment: str) -> ModelId:
    """What a path's segment says.

    Args:
        segment: as it stands in the path, percent-encoding and all.
    """
    name = unquote(segment)
    if name.startswith("arn:"):
        name = name.rpartition("/")[2]
    vendor, dot, rest = name.partition(".")
    if dot and vendor in GEOGRAPHIES:
        name = rest
        vendor, dot, rest = name.partition(".")
    if not dot or not rest or not vendor.replace("-", "").isalnum():
        return ModelId("", name)
    return ModelId(vendor, name)
