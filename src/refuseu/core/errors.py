"""The error that every mistake of a user ends in: one sentence that says what is wrong, where, and the way out."""

import click

from refuseu.core.terminal import shown


class UserError(click.ClickException):
    """A mistake of the user. Click shows it as ``Error: <message>``, with exit code 1 and without a traceback."""

    def format_message(self) -> str:
        """The message as a terminal is given it: on one line, whatever a library or a file put into it."""
        return shown(" ".join(self.message.splitlines()))


class UnwritableError(UserError):
    """A place that cannot be written, as on a full disk. What was made so far is right, and is made use of another time."""
