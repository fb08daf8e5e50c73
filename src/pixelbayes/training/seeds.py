"""Seeds as functions of what they are for.

Nothing random in training has a state of its own: the order of an epoch, the augmentation of a
step and its dropout each come from a seed that is computed from the run's seed and the number
of the epoch or step.  So a resumed run needs no saved random state to repeat itself.
"""

from __future__ import annotations

import hashlib

__all__ = ["derived_seed"]


def derived_seed(*parts: int | str) -> int:
    """Returns a seed in [0, 2^63) that depends on every part and on their order.

    >>> derived_seed("order", 0, 1) == derived_seed("order", 0, 1)
    True
    >>> derived_seed("order", 0, 1) == derived_seed("order", 1, 0)
    False
    """
    text = "/".join(map(str, parts))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
