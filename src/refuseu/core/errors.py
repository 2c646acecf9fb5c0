"""The one error a user's mistake ends in: a sentence that says what, where and the way out."""

import click


class UserError(click.ClickException):
    """Shown by click as ``Error: <message>`` with exit code 1 and no traceback."""
