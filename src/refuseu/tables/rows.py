"""The table of the row store's rows that a stage used, which travels with its outputs."""

from pathlib import Path

from refuseu.store.last_run import ROW, ROWS
from refuseu.store.rows import Store
from refuseu.tables.writing import write_batches


def write_rows(store: Store, folder: Path) -> None:
    """Write the rows that the stage used of ``store`` into its ``folder``, where its next run finds them."""
    write_batches(store.used_rows(), folder / ROWS, ROW)
