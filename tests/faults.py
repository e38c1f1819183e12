"""Faults: what works as ever, and raises when the test says so."""

import msgspec

from headroom import driving
from headroom.ccr.ledger import Ledger
from headroom.core import accepting, pipeline, plan, referring
from headroom.core.references import References
from headroom.core.rewrite import Rewrite
from headroom.proxy.learner import Learner
from headroom.proxy.stages import compress, retrieve


class Faults:
    """Raises in what it is put around, whenever ``is_due`` says so.

    Attributes:
        raised: how often it did.
        is_on: nothing is raised before.
    """

    def __init__(self, is_due, error=ZeroDivisionError):
        self._is_due = is_due
        self._error = error
        self._calls = 0
        self.raised = 0
        self.is_on = True

    def around(self, work):
        """The same work, which fails now and then."""

        def faulty(*args, **options):
            self.check()
            return work(*args, **options)

        return faulty

    def behind(self, work):
        """The same work, which fails now and then when it has been done."""

        def faulty(*args, **options):
            found = work(*args, **options)
            self.check()
            return found

        return faulty

    def check(self):
        """Raise if it is time to."""
        if not self.is_on:
            return
        self._calls += 1
        if self._is_due(self._calls):
            self.raised += 1
            raise self._error("words of a user")


def every(number):
    """Each so-many-th call."""
    return lambda call: call % number == 0


def since(number):
    """That call, and each one after it."""
    return lambda call: call >= number


def in_compressors(patch, faults):
    """Every compressor raises now and then."""
    found = tuple(
        msgspec.structs.replace(one, compress=faults.around(one.compress))
        for one in pipeline.COMPRESSORS
    )
    patch.setattr(pipeline, "COMPRESSORS", found)


def in_counting(patch, faults):
    """The counter of tokens raises now and then."""
    for module in (driving, retrieve):
        real = module.counter_for

        def counter_for(model, real=real):
            return faults.around(real(model))

        patch.setattr(module, "counter_for", counter_for)


def in_lookups(patch, faults):
    """The store has to be asked every time, and that raises now and then."""
    patch.setattr(Rewrite, "needs_store", lambda *_: True)
    _at(Ledger, "lookup")(patch, faults)


def _at(owner, name, way="around"):
    def put(patch, faults):
        patch.setattr(owner, name, getattr(faults, way)(getattr(owner, name)))

    return put


PLACES = {
    "compressors": in_compressors,
    "counting": in_counting,
    "references": _at(referring, "refer_block"),
    "sources": _at(References, "_all_before"),
    "advice": _at(Learner, "advised"),
    "accepting": _at(accepting, "accept"),
    "finding what is hidden": _at(plan, "find_hidden"),
    "reading the ledger": in_lookups,
    "reading memory": _at(Ledger, "peek"),
    "reading notes": _at(Ledger, "recall"),
    "writing the ledger": _at(Ledger, "submit"),
    "behind writing": _at(Ledger, "submit", "behind"),
    "behind forwarding": _at(Rewrite, "finish", "behind"),
    "observing": _at(Learner, "observe"),
    "a trail": _at(compress, "trail_of"),
    "the account": _at(compress, "describe"),
}
"""Where faults are put, in the order in which a request comes through."""

FOR_GOOD = [
    name
    for name in PLACES
    if name
    not in {
        "accepting",
        "finding what is hidden",
        "reading memory",
        "behind forwarding",
    }
]
"""Places that repeating what was sent does without."""
