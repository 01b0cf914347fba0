"""Where the command `ft-ops` begins: before its parts are loaded, Ctrl-C has nothing to tell."""

import signal


def main() -> None:
    """Run the command. An interruption while its parts are loaded ends it without a word."""
    # Whoever started us with SIGINT ignored, as a script does in its background, wants it so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ft_ops.cli import main as run

    run()
