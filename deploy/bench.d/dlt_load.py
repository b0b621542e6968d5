"""Loads files with dlt, with the settings that were the fastest.

Usage: dlt_load.py files|arrow append|merge SCHEMA.TABLE FILE...; the database is that of DATABASE_URL, and the
pipeline's state is kept in PIPELINES_DIR.

  files    The files go to PostgreSQL's COPY as they are: dlt reads none of their rows.
  arrow    The files are read into Arrow tables, amounts as decimals, and written as CSV for COPY.
"""

import os

# Compressing what is read again at once takes longer than all the rest.
os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
# More than the processors bring nothing.
os.environ["LOAD__WORKERS"] = str(os.cpu_count())

import dlt
import pyarrow
from pyarrow import csv

from columns import AMOUNTS, KEY, arguments, header, url

# As many digits as the files may have: nothing is rounded.
PRECISION, SCALE = 38, 16
MERGE = {"disposition": "merge", "strategy": "upsert"}


def hints(names):
    """Returns dlt's types of the columns, so that it infers none."""
    amount = {"data_type": "decimal", "precision": PRECISION, "scale": SCALE}
    kinds = {name: dict(amount if name in AMOUNTS else {"data_type": "text"}) for name in names}
    for name in KEY:
        kinds[name]["nullable"] = False
    return kinds


def arrow_table(path):
    """Returns a file's rows."""
    amount = pyarrow.decimal128(PRECISION, SCALE)
    types = {name: amount if name in AMOUNTS else pyarrow.string() for name in header(path)}
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    return csv.read_csv(path, convert_options=options)


def items(how, paths):
    """Yields what dlt loads of each file."""
    for path in paths:
        yield dlt.mark.with_file_import(path, "csv", 0) if how == "files" else arrow_table(path)


def main():
    """Loads all files."""
    how, disposition, place, *paths = arguments()
    schema, table = place.split(".")
    rows = dlt.resource(
        items(how, paths),
        name=table,
        columns=hints(header(paths[0])),
        primary_key=KEY,
        write_disposition=MERGE if disposition == "merge" else disposition,
        file_format="csv",
    )
    pipeline = dlt.pipeline(
        "rival",
        destination=dlt.destinations.postgres(url()),
        dataset_name=schema,
        pipelines_dir=os.environ["PIPELINES_DIR"],
    )
    pipeline.run(rows).raise_on_failed_jobs()


main()
