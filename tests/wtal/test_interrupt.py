"""SIGTERM as Ctrl-C: whatever becomes of the exception on its way, the command stops."""

import signal
import threading

import pytest

from wtal.errors import WtalError
from wtal.interrupt import sigterm_as_ctrl_c


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def _torn() -> None:
    """Compiled code that was called back in the middle."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise ValueError("could not determine the shape") from None


def test_an_error_that_compiled_code_made_of_the_signal_is_still_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c(WtalError):
        _torn()


def _said() -> None:
    """A stage that says how to go on."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise WtalError("Stopped.") from None


def test_a_sentence_that_somebody_made_of_the_signal_stays() -> None:
    with pytest.raises(WtalError, match="Stopped"), sigterm_as_ctrl_c(WtalError):
        _said()


def test_without_a_signal_every_error_stays_itself() -> None:
    with pytest.raises(ValueError, match="mine"), sigterm_as_ctrl_c():
        raise ValueError("mine")


def test_a_background_job_that_ignores_ctrl_c_goes_on_doing_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with sigterm_as_ctrl_c():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    seen = []

    def work() -> None:
        with sigterm_as_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
