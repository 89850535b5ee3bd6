"""Data inside an HTML file, where no browser takes it for markup or script."""

from __future__ import annotations

import json

from wtal.errors import WtalError

# JSON may spell any character of a string as \uXXXX; outside strings none of these occurs.
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def data_block(name: str, value: object) -> bytes:
    r"""A `<script type="application/json">` element; nothing in it can end it.

    Args:
        name: The element's id.
        value: Anything JSON has.

    Raises:
        WtalError: If a number is not finite, which JSON has not.

    Example:
        >>> data_block("x", ["</script>"])
        b'<script type="application/json" id="x">["\\u003c/script\\u003e"]</script>\n'
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise WtalError(
            f"Block {name} of the report holds a number that is not finite; expected times and "
            "scores that are."
        ) from error
    # A lone surrogate has no UTF-8; as \udXXX every JSON parser reads it.
    inner = text.translate(_ESCAPED).encode("utf-8", "backslashreplace")
    return b'<script type="application/json" id="%b">%b</script>\n' % (name.encode(), inner)
