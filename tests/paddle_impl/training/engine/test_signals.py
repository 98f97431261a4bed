from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from paddle_impl.training.signals import Stop, exit_code


def _send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)


@pytest.fixture(autouse=True)
def _no_signal_is_ignored() -> Iterator[None]:
    """Signals do what they usually do, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_signal_is_noted_and_the_handlers_are_restored(name: str, code: int) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Stop() as stop:
        assert not stop.requested
        _send(getattr(signal, name))
        assert stop.requested == name
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert exit_code(stop.requested) == code
    assert exit_code(None) == 0


def test_second_interrupt_raises_keyboard_interrupt() -> None:
    with Stop():
        _send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            _send(signal.SIGINT)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)])
def test_forked_process_ignores_an_interrupt_and_ends_at_sigterm(number: int, expected: int) -> None:
    with Stop() as stop:
        child = os.fork()
        if child == 0:
            _send(number)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == expected
        assert stop.requested is None


def test_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            _send(signal.SIGHUP)
        assert stop.requested is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
