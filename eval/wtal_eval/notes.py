"""What is worth knowing beside the figures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Counts, and one warning line per kind, gathered on the way."""

    counts: dict[str, int | str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, count: int, one: str, many: str) -> None:
        """Add `1 <one>` or `<count> <many>`; nothing for a count of zero."""
        if count:
            self.warnings.append(f"{count} {one if count == 1 else many}.")
