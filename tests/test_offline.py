"""Tests, and so all commands that they run, work without a network."""

import socket
import threading

import pytest

from tests import offline


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid"])
def test_another_machine_cannot_be_reached_and_the_attempt_is_known(host: str) -> None:
    with pytest.raises(offline.LeftTheMachineError, match="tests work offline"):
        socket.create_connection((host, 80), timeout=1)
    assert offline.ATTEMPTS.pop() == host
    assert not offline.ATTEMPTS


def test_a_message_without_a_connection_cannot_leave_either() -> None:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, pytest.raises(offline.LeftTheMachineError):
        sender.sendto(b"hello", ("192.0.2.1", 9))
    offline.ATTEMPTS.clear()


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = threading.Thread(
            target=lambda: socket.create_connection(server.getsockname()).close()
        )
        caller.start()
        server.accept()[0].close()
        caller.join()
