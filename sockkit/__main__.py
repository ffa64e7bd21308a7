"""The entry point, also of ``python -m sockkit``."""

import gc
import signal


def main() -> None:
    """Run the command line.

    While the rest is being loaded, Ctrl-C ends the process as it ends one that is not written in Python: at once, by the
    signal, without a traceback. A SIGINT that was inherited as ignored stays ignored.
    """
    gc.disable()  # until a command runs: loading makes no garbage, and looking for it takes a tenth of the start
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sockkit import cli

    cli.main()


if __name__ == "__main__":
    main()
