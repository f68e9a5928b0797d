"""Tables as text, which a command returns for stdout."""

from rich.console import Console
from rich.table import Table


def drawn(*tables: Table) -> str:
    """The tables, one below the other."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # of a table that goes into a file
    with console.capture() as text:
        for table in tables:
            console.print(table, markup=False)
    return text.get()
