"""What an import did with every tensor of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from wtal_features.errors import FeatureError


@dataclass(frozen=True)
class KeyReport:
    """Every key of a file, by what became of it.

    Attributes:
        source: The file.
        used: Name in the file -> name in our network.
        left: Name in the file -> why it was not needed, such as `projection head`.
    """

    source: str
    used: Mapping[str, str]
    left: Mapping[str, str]

    def lines(self) -> list[str]:
        """For a person: counts, then every key that was left, by reason."""
        reasons: dict[str, list[str]] = {}
        for key, why in self.left.items():
            reasons.setdefault(why, []).append(key)
        lines = [f"{self.source}: {len(self.used)} tensors used, {len(self.left)} left"]
        for why, keys in sorted(reasons.items()):
            shown = ", ".join(sorted(keys)[:4]) + (", ..." if len(keys) > 4 else "")
            lines.append(f"  {len(keys)} left ({why}): {shown}")
        return lines


def load_mapped(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    left: Mapping[str, str],
    source: str,
) -> KeyReport:
    """Fill a network from a file's tensors and say what became of each.

    Args:
        network: Whose every parameter and floating-point buffer must be filled.
        tensors: Name in the file -> tensor, already in torch's layout.
        names: Name in the file -> name in the network, for those to be used.
        left: Name in the file -> why it is not needed.
        source: The file, for messages.

    Raises:
        FeatureError: If a tensor of the network is not in the file, or has another shape; the
            network is unchanged then.
    """
    wanted = network.state_dict()
    # BatchNorm's step counters play no part in evaluation, and old files lack them.
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    given = {ours: tensors[theirs] for theirs, ours in names.items()}
    missing = sorted(needed - given.keys())
    if missing:
        raise FeatureError(
            f"{source} lacks {len(missing)} of the {len(needed)} tensors of this network, "
            f"the first is {missing[0]}.",
            "It is a checkpoint of another architecture or width, or it is cut short.",
            code="checkpoint",
        )
    for name in sorted(given):
        if name not in wanted or given[name].shape != wanted[name].shape:
            expected = tuple(wanted[name].shape) if name in wanted else "no such tensor"
            raise FeatureError(
                f"{source}: the tensor for {name} has shape {tuple(given[name].shape)}; "
                f"expected {expected}.",
                "It is a checkpoint of another architecture or width.",
                code="checkpoint",
            )
    network.load_state_dict(wanted | given)
    return KeyReport(source, dict(names), dict(left))
