"""Loads files as a hand-written script does: INSERT ... ON CONFLICT DO UPDATE, many rows to a statement.

Usage: upsert.py TABLE FILE...; the database is that of DATABASE_URL. Each file is a transaction.
"""

import csv

import psycopg2
from psycopg2.extras import execute_values

from columns import AMOUNTS, KEY, arguments, url

# Rows in a statement.
PAGE = 3000


def statement(table, names):
    """Returns the statement that writes rows of these columns."""
    others = ", ".join(f"{name} = excluded.{name}" for name in names if name not in KEY)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES %s "
        f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {others}"
    )


def rows(lines, names):
    """Yields rows whose blank amounts are null. Amounts stay text, which PostgreSQL reads as numeric."""
    amounts = [name in AMOUNTS for name in names]
    for line in lines:
        yield [None if is_amount and not cell else cell for cell, is_amount in zip(line, amounts)]


def load(session, table, path):
    """Loads a file in a transaction of its own."""
    with open(path, newline="", encoding="utf-8") as file, session, session.cursor() as cursor:
        lines = csv.reader(file)
        names = next(lines)
        execute_values(cursor, statement(table, names), rows(lines, names), page_size=PAGE)


def main():
    """Loads all files."""
    table, *paths = arguments()
    session = psycopg2.connect(url())
    for path in paths:
        load(session, table, path)
    session.close()


main()
