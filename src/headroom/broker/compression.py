"""The one place where the broker compresses: asked exactly once for every request.

It stands behind the headers that say who asks, and before anything depends on whether
the answer is a stream. Off, it hands back the body it was given. On, texts are
compressed losslessly; with ``compression_lossy`` parts may be left out, whose originals
are stored first and served under ``/v1/retrieve``.

What always holds: whatever fails here, the request is served; and the event loop waits
for no store.
"""

import threading
from functools import partial

from headroom.broker.models_file import ModelsFile
from headroom.inference.model_table import ModelTable
from headroom.integrations.chat_request import Outcome, compress_body, outcome_of
from headroom.proxy import headers
from headroom.proxy.exchange import Exchange
from headroom.proxy.originals import StoreOnDemand
from headroom.proxy.unknown_models import UnknownModels
from headroom.proxy.workplace import Workplace
from headroom.session import Api, Session

_APIS: dict[str, Api] = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
}


class Compression:
    """Of one server process.

    Args:
        store: of originals and the ledger; opened by the first request that needs it.
        models: what is known of models.
        max_bytes: longer bodies are left alone.
    """

    def __init__(
        self, store: StoreOnDemand, models: ModelTable, max_bytes: int
    ) -> None:
        self._store = store
        self._models = models
        self._unknown_models = UnknownModels(models)
        self._max_bytes = max_bytes
        self._sessions: dict[bool, Session] = {}
        self._lock = threading.Lock()
        self._place = Workplace()

    async def apply(
        self,
        exchange: Exchange,
        body: bytes,
        model: str,
        file: ModelsFile,
        namespace: str,
    ) -> bytes:
        """The body to send.

        Args:
            exchange: what is asked, and where figures are noted.
            body: what is to be sent.
            model: as the backend calls it that is asked first.
            file: says whether anything is done.
            namespace: whose conversation it is.
        """
        api = _APIS.get(exchange.route.provider)
        is_on = file.compression_enabled
        # What left compressed before it was switched off goes on so.
        if api is None or not (is_on or self._sessions):
            return body
        if len(body) > self._max_bytes or headers.is_bypass(exchange.headers):
            return body
        self._place.warm()

        async def compress(body: bytes) -> Outcome:
            await self._unknown_models.report(model, exchange.request_id)
            session = await self._session(is_lossy=file.compression_lossy)
            session = session.scoped(namespace)
            forwarded = await (session if is_on else session.leaving()).aforward(
                api, body, place=self._place
            )
            outcome = outcome_of(forwarded)
            exchange.fields["tokens_before"] = outcome.tokens_before
            exchange.fields["tokens_after"] = outcome.tokens_after
            return outcome

        return await compress_body(
            api, body, exchange.request_id, compress, self._place
        )

    def close(self) -> None:
        """Write what waits; the store stays as it is."""
        self._place.close()
        with self._lock:
            for session in self._sessions.values():
                session.close()

    async def _session(self, *, is_lossy: bool) -> Session:
        """Of all tenants; opening the store is waited for elsewhere."""
        session = self._sessions.get(is_lossy)
        if session is None:
            session = await self._place.wait(partial(self._opened, is_lossy=is_lossy))
        return session

    def _opened(self, *, is_lossy: bool) -> Session:
        with self._lock:
            session = self._sessions.get(is_lossy)
            if session is None:
                session = Session(
                    self._store.opened(),
                    retrieval="elsewhere" if is_lossy else "off",
                    user_text="lossy" if is_lossy else "lossless",
                    models=self._models,
                )
                self._sessions[is_lossy] = session
            return session
