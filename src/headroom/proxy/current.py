"""The settings in force: what an operator may change while the proxy runs.

``SIGHUP`` reads the settings again. Of what has changed, these groups take effect at
once: ``auth``, ``compression``, ``retrieval``, ``stabilise``, and what the memory does;
the rest is told and waits for a restart. A conversation keeps what it began with, since
every record of the ledger repeats it; what its new blocks may become follows the
settings in force.

What always holds: a bad file or value changes nothing at all.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from headroom.core.types import JsonValue, Policy
from headroom.errors import ConfigError
from headroom.proxy.auth import AuthPolicies, AuthPolicy, policies_of
from headroom.settings import SETTINGS, Settings, policy_of, value_of

log = logging.getLogger("headroom.proxy")

RELOADABLE = ("auth", "compression", "retrieval", "sidecar", "stabilise")
RELOADABLE_OF_MEMORY = ("mode", "injection_mode", "tool_injection_sticky")
"""Where the memory is, and how much of it there may be, waits for a restart."""


class Current(Mapping[str, AuthPolicy]):
    """What holds now; one per server process, read anew for every request.

    As a mapping it is the policy table.

    Attributes:
        settings: all of them, as they are in force.
        policy: the part that the core works by.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policy: Policy = policy_of(settings)
        self._policies: AuthPolicies = policies_of(settings.auth)

    def __getitem__(self, mode: str) -> AuthPolicy:
        return self._policies[mode]

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def take(self, new: Settings) -> Mapping[str, tuple[str, ...]]:
        """Put settings into force as far as that is possible.

        Returns:
            Paths of settings that changed: ``changed`` are in force, ``waiting`` need a
            restart.
        """
        differing = [
            path
            for path in SETTINGS
            if value_of(new, path) != value_of(self.settings, path)
        ]
        changed = tuple(p for p in differing if _is_reloadable(p))
        taken = {name: getattr(new, name) for name in RELOADABLE}
        memory = {name: getattr(new.memory, name) for name in RELOADABLE_OF_MEMORY}
        taken["memory"] = msgspec.structs.replace(self.settings.memory, **memory)
        self.settings = msgspec.structs.replace(self.settings, **taken)
        self.policy = policy_of(self.settings)
        self._policies = policies_of(self.settings.auth)
        return MappingProxyType(
            {
                "changed": changed,
                "waiting": tuple(p for p in differing if p not in changed),
            }
        )

    def reload(self, read: Callable[[], Settings]) -> None:
        """Read the settings again and say what came of it."""
        try:
            found = self.take(read())
        except ConfigError as error:
            fields: dict[str, JsonValue] = {"error": str(error)}
            log.error("settings_reload_failed", extra=fields)  # noqa: TRY400
            return
        fields = {name: list(paths) for name, paths in found.items()}
        log.warning("settings_reloaded", extra=fields)


def _is_reloadable(path: str) -> bool:
    group, _, name = path.partition(".")
    return group in RELOADABLE or (group == "memory" and name in RELOADABLE_OF_MEMORY)
