"""Take out of a text what would steer a terminal: its control characters.

Sample names, labels, file names and error texts come from elsewhere. Printed as they are, they
can change a terminal's title, write its clipboard, or show a line as another one.
"""

import logging

__all__ = ["get_logger", "printable"]

_CONTROLS = {
    # C0 but the line feed, DEL and C1
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)]),
    # Unicode's marks that turn the direction of writing
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    # line and paragraph separators
    0x2028: " ",
    0x2029: " ",
    # halves of characters, which no terminal can be sent
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
    ord("\t"): " ",
    ord("\r"): " ",
}
del _CONTROLS[ord("\n")]


def printable(text: str) -> str:
    r"""Return a text without control characters but the line feed.

    Examples
    --------
    >>> printable("Fe\x1b]0;title\x07 foil\u202e")
    'Fe]0;title foil'
    """
    return text if text.isascii() and text.isprintable() else text.translate(_CONTROLS)


class _Printable(logging.Filter):
    """Make a record's message printable; a log is often a terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message where it has to be; take every record."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - logging itself tells of a message that does not fit
            return True
        clean = printable(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            # Formatters take what is there already.
            record.exc_text = printable(logging.Formatter().formatException(record.exc_info))
        return True


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module; its messages hold no control characters."""
    logger = logging.getLogger(name)
    logger.addFilter(_Printable())
    return logger
