"""Models that no table lists are told to the log, once each."""

import asyncio
import logging

from headroom.inference.model_table import ModelTable
from headroom.providers.models import family_of

log = logging.getLogger("headroom.proxy")

_MAX_MODELS = 1000
_MAX_CHARS = 128
"""Models that are told, and the longest name that is one."""


class UnknownModels:
    """What was told by one server process.

    Args:
        models: what is known of models.
    """

    def __init__(self, models: ModelTable) -> None:
        self._models = models
        self._looked_up: set[str] = set()

    async def report(self, model: str, request_id: str) -> None:
        """Log a model that no table lists, once; careful defaults hold for it."""
        if not model or model in self._looked_up or family_of(model) != "other":
            return
        if len(self._looked_up) >= _MAX_MODELS or len(model) > _MAX_CHARS:
            return
        self._looked_up.add(model)
        # The first look into the data package takes a fraction of a second.
        row = await asyncio.to_thread(self._models.row, model)
        if not row.is_known:
            extra = {"request_id": request_id, "model": model}
            log.warning("model_unknown", extra=extra)
