"""No test leaves the machine: a hook of the interpreter refuses connections to other hosts.

It sees what Python opens in this process, whichever library asks. FFmpeg opens its own: see
tests/features/test_video_container.py.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from functools import cache

ATTEMPTS: list[str] = []  # hosts that somebody wanted; a library may swallow the refusal
_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})


class LeftTheMachineError(Exception):
    """No `OSError`, which a library would take for a bad line and try again."""


@cache
def refuse_connections() -> None:
    """From now on, for the whole process; a hook cannot be taken away again."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...], events: frozenset[str] = _EVENTS) -> None:
    if event not in events:  # a default value: names of modules are gone when Python ends
        return
    by_name = event == "socket.getaddrinfo"
    address = arguments[0] if by_name else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    if (by_name or isinstance(address, tuple)) and not _is_here(host):
        ATTEMPTS.append(str(host))
        raise LeftTheMachineError(f"A test wants to reach {host!r}; tests work offline.")


def _is_here(host: object) -> bool:
    """Whether a host is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False
