"""What a part of the campaign has tried and found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Findings"]

SHOWN = 20  # findings that are kept as text


@dataclass
class Findings:
    """Counts, and the first things that went wrong."""

    tried: Counter[str] = field(default_factory=Counter)
    """Inputs or faults, by kind."""
    refused: int = 0
    """Damaged inputs that were refused with an error for people."""
    survived: int = 0
    """Faults after which everything was there, and the same command came to the same end."""
    wrong: int = 0
    """Answers that are not the right one."""
    lost: int = 0
    """Faults after which something that had been there was gone or could not be used."""
    faulty: int = 0
    """Tracebacks: errors that are not meant for people."""
    notes: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Keeps a description of what went wrong."""
        if len(self.notes) < SHOWN:
            self.notes.append(what)

    @property
    def total(self) -> int:
        """Inputs or faults in all."""
        return sum(self.tried.values())

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.wrong or self.lost or self.faulty)
