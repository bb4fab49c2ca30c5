"""Tables as data frames: of pandas, of polars, or as Arrow's own table."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from core.errors import UserError
from jobs.conclusions.arguments import check_choice

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.present.leaderboard import Sheet

Frame = Literal["pandas", "polars", "arrow"]


def framed(table: pa.Table, frame: Frame) -> Any:
    """The table as a `pandas.DataFrame`, a `polars.DataFrame`, or, with `arrow`, the `pyarrow.Table` itself.

    Raises:
        UserError: There is no such frame, or its package is not installed.
    """
    check_frame(frame)
    if frame == "arrow":
        return table
    if frame == "pandas":
        return table.to_pandas()
    import polars as pl

    return pl.from_arrow(table)


def check_frame(frame: Frame) -> None:
    """Checks that there is such a frame.

    Raises:
        UserError: There is none, or its package is not installed.
    """
    check_choice("frame", frame, get_args(Frame))
    if frame != "arrow" and importlib.util.find_spec(frame) is None:
        raise UserError(f"{frame} is not installed: uv pip install {frame}, or take frame='arrow'.")


def of_sheet(sheet: Sheet) -> pa.Table:
    """A sheet of rows as a table; a column that has numbers and words has words alone."""
    import pyarrow as pa

    columns = [[row[place] for row in sheet.rows] for place in range(len(sheet.columns))]
    return pa.table([_array(values) for values in columns], names=[column.name for column in sheet.columns])


def _array(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
