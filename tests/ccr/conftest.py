"""Stores for the tests: each test that asks for ``backend`` runs over all three."""

import pytest

from store_backends import KINDS, RedisServer, make_backend


@pytest.fixture(scope="session")
def redis_server():
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def backend(request, tmp_path):
    server = (
        request.getfixturevalue("redis_server") if request.param == "redis" else None
    )
    made = make_backend(request.param, tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def store(backend):
    return backend.open()
