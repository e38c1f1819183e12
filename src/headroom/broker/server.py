"""Runs the broker: one process, since what it counts is counted in it."""

from collections.abc import Callable
from pathlib import Path

from headroom.broker.app import BrokerApp, Load, make_metrics
from headroom.errors import ConfigError
from headroom.proxy.server import listen, run_app, url_of
from headroom.settings import Settings


def serve(
    settings: Settings, load: Load, path: Path | None, announce: Callable[[str], None]
) -> int:
    """Serve until told to end.

    Args:
        settings: validated settings.
        load: reads the file of models.
        path: of that file; ``None``: there is none.
        announce: gets the base URL as soon as requests are answered.

    Returns:
        The exit status.

    Raises:
        ConfigError: the settings, the file or the port cannot be used.
    """
    if settings.proxy.workers > 1:
        raise ConfigError(
            "HEADROOM_PROXY_WORKERS: the broker runs in one process, which counts what "
            f"keys and models use; expected 1, found {settings.proxy.workers}"
        )
    metrics = make_metrics()
    app = BrokerApp(settings, load, path, metrics=metrics)
    listener = listen(settings)
    url = url_of(listener)
    with listener:
        return run_app(lambda: app, settings, metrics, listener, lambda: announce(url))
