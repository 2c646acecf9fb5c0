"""Looks after the row store: ``python -m refuseu.maintenance stat``, the heart of ``make store-stat`` and of its sisters."""

import click

from refuseu.core.terminal import tolerate_encodings
from refuseu.maintenance import collection, counts, mend, sharing


@click.group()
def main() -> None:
    """Count, mend, clear or share the rows of the store."""
    tolerate_encodings()


for name, command in {
    "stat": counts.main,
    "gc": collection.main,
    "mend": mend.main,
    "export": sharing.exported,
    "import": sharing.imported,
}.items():
    main.add_command(command, name)

if __name__ == "__main__":
    main()
