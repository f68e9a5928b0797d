"""The command line as a process of its own, which a Ctrl-C ends without a traceback from here on."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as in the background
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys

from nf_policies.cli import main

if __name__ == "__main__":
    sys.exit(main())
