"""`conclus embed`: vectors of any data from a trained model."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UserError, counted
from jobs.present import options
from jobs.present.output import remark, say


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.argument("data", metavar="DATA")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The Parquet file to write: id, of a model that clusters the columns of `conclus assign`, and vector.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="The array or column of DATA; several with commas.  [default: as in training]",
)
@click.option(
    "--decimal", type=click.Choice([".", ","]), help="The decimal point of numbers in CSV.  [default: as in training]"
)
@options.plug_in
@click.option("--device", default="cpu", show_default=True, help="Where the model runs: cpu or cuda.")
def command(  # noqa: PLR0917 (click passes them by name)
    checkpoint: str, data: str, out: Path, column: str | None, decimal: str | None, device: str
) -> None:
    """Map the samples of DATA to vectors with the model CHECKPOINT, and to clusters if it is a clustering model.

    CHECKPOINT is best_model.pt or best_model.safetensors, or their folder, models/_TRIAL in the folder of a study that
    was run with `select: {save_model: true}`. DATA is a file with samples (.npz, .npy, Parquet, CSV) or a folder of
    images as in training, or its address in an object store. Grey images also fit a model that was trained on colours.
    """
    if out.suffix != ".parquet":
        raise UserError(f"--out {str(out)!r} should end in .parquet")
    from jobs.models import embedding

    table, matched = embedding.embed(checkpoint, data, column=column, decimal=decimal, device=device)
    remark([matched])
    embedding.write(table, out)
    dim = table.schema.field("vector").type.list_size
    say(f"Wrote {counted(table.num_rows, 'vector')} of {counted(dim, 'number')} to {out}.")
