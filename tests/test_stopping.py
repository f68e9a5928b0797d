"""A process that is asked to end raises, waits for what must not be cut in two, and says how to go on."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import nullcontext, suppress

import pytest

from nf_policies.stopping import ENDING, Stopped, check, listening, uninterrupted, way_on


def in_a_process(script: str) -> tuple[int, str]:
    """Exit status and messages of a script."""
    words = [sys.executable, "-c", "import signal, sys\n" + textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_that_ends_has_the_status_that_shells_know(number, status) -> None:
    before = [signal.getsignal(each) for each in ENDING]
    with pytest.raises(Stopped) as stopped, listening(), listening():
        signal.raise_signal(getattr(signal, number))
    assert stopped.value.status == status
    assert [signal.getsignal(each) for each in ENDING] == before
    check()  # nothing is pending


@pytest.mark.parametrize("inner", [nullcontext, uninterrupted])
def test_a_signal_comes_after_what_is_inside_of_blocks_that_may_nest(inner) -> None:
    done = []

    def work() -> None:
        with listening(), uninterrupted():
            with inner():
                signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(Stopped):
        work()
    assert done == ["all"]


def test_an_error_inside_is_told() -> None:
    with pytest.raises(ValueError, match="inside"), listening(), uninterrupted():
        raise ValueError("inside")


def test_what_swallows_the_exception_does_not_swallow_the_wish() -> None:
    def work() -> None:
        with listening():
            with suppress(BaseException):
                signal.raise_signal(signal.SIGTERM)
            check()

    with pytest.raises(Stopped):
        work()


def test_other_threads_and_signals_that_are_ignored_are_left_alone() -> None:
    done = []

    def work() -> None:
        with listening(), uninterrupted():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_whatever_ends_a_run_says_how_to_go_on() -> None:
    with pytest.raises(OSError, match="full") as full, way_on("go on"):
        raise OSError("full")
    assert full.value.__notes__ == ["To go on: go on"]


def test_an_import_is_not_cut_in_two_the_process_ends_at_once(tmp_path) -> None:
    (tmp_path / "slow.py").write_text(
        "import signal\ntry: signal.raise_signal(signal.SIGTERM)\nexcept BaseException: pass"
    )
    script = f"""
        from nf_policies.stopping import listening, way_on
        sys.path.append({str(tmp_path)!r})
        with listening(), way_on("go on"):
            import slow
    """
    assert in_a_process(script) == (143, "Stopped by SIGTERM. To go on: go on\n")


def test_the_second_signal_ends_a_process_whose_end_takes_long() -> None:
    script = """
        from nf_policies.stopping import listening
        with listening():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)
                print("not reached", file=sys.stderr)
    """
    assert in_a_process(script) == (130, "")


def test_after_the_last_block_a_process_ends_without_a_traceback() -> None:
    script = """
        import atexit
        from nf_policies.stopping import listening
        with listening(to_the_end=True):
            atexit.register(signal.raise_signal, signal.SIGTERM)
    """
    assert in_a_process(script) == (143, "")


def test_a_destructor_in_which_nothing_can_be_raised_prints_nothing() -> None:
    script = """
        from nf_policies.stopping import check, listening
        class Closing:
            def __del__(self): signal.raise_signal(signal.SIGINT)
        try:
            with listening(to_the_end=True):
                Closing()
                check()
        except KeyboardInterrupt as stopped:
            sys.exit(stopped.status)
    """
    assert in_a_process(script) == (130, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_do_not_listen() -> None:
    script = """
        import os
        from nf_policies.stopping import listening
        with listening():
            if child := os.fork():
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            signal.raise_signal(signal.SIGTERM)
    """
    assert in_a_process(script)[0] == 256 - signal.SIGTERM
