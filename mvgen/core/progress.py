"""How core tells its caller where it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a long job. ``advance`` may be called from any stage, as often as it likes."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins; ``total`` is its number of steps where known."""

    def advance(self, steps: int = 1) -> None:
        """Steps of the current stage are done."""

    def close(self) -> None:
        """The current stage is over, and no other begins."""

    def note(self, text: str) -> None:
        """One line worth reading about a choice that was made (shown with ``-v``)."""

    def say(self, text: str) -> None:
        """One line for everybody, but for those who asked for quiet."""

    def warn(self, text: str) -> None:
        """One line that everybody should read."""


class Silent:
    """Listens to nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass

    def close(self) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass
