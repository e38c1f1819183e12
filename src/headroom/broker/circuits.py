"""Which backends are worth asking: failures open a circuit, one probe closes it.

Pure: the clock's reading and chance are arguments. What always holds: what began before
a circuit opened says nothing about it afterwards; at most one probe is under way.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["closed", "open", "half_open"]

_MAX_DOUBLINGS = 5
_JITTER = 0.2
"""Of the open time: brokers that lost a backend together come back one by one."""


class Attempt(Struct, frozen=True, gc=False):
    """One request to a backend; ``era`` changes whenever its circuit does."""

    era: int
    is_probe: bool


class Circuit:
    """Of one backend.

    Args:
        open_after: failures in a row.
        open_s: how long it is left alone the first time; doubled each further time.
    """

    def __init__(self, open_after: int, open_s: float) -> None:
        self._open_after = open_after
        self._open_s = open_s
        self._era = 0
        self._openings = 0
        self._is_probed = False
        self._until: float | None = None
        self.failures = 0

    def state(self, now: float) -> State:
        """What holds for the next request."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half_open"

    def admits(self, now: float) -> bool:
        """Whether a request may go there."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self._is_probed)

    def begin(self) -> Attempt:
        """A request goes there: admitted, or because nothing else is left."""
        is_probe = self._until is not None and not self._is_probed
        self._is_probed = self._is_probed or is_probe
        return Attempt(self._era, is_probe)

    def succeeded(self, attempt: Attempt) -> None:
        """It answered."""
        if attempt.era == self._era and self._until is None:
            self.failures = 0
        elif attempt.is_probe and attempt.era == self._era:
            self._era += 1
            self._until = None
            self._is_probed = False
            self._openings = self.failures = 0

    def failed(self, attempt: Attempt, now: float, chance: float) -> bool:
        """It did not, or broke its answer off; whether this opened the circuit.

        Args:
            attempt: what failed.
            now: as for the others.
            chance: between 0 and 1.
        """
        if attempt.era != self._era:
            return False
        self.failures += 1
        if self._until is None:
            if self.failures < self._open_after:
                return False
        elif not attempt.is_probe:
            return False
        doubled = self._open_s * 2 ** min(self._openings, _MAX_DOUBLINGS)
        self._openings += 1
        self._era += 1
        self._is_probed = False
        self._until = now + doubled * (1 + _JITTER * chance)
        return True

    def released(self, attempt: Attempt) -> None:
        """It was given up without an outcome; a probe's place is free again."""
        if attempt.is_probe and attempt.era == self._era:
            self._is_probed = False
