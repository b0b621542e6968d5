"""What the loading scripts know of a trial balance's file."""

import os
import sys

KEY = ("entity", "period", "company_code", "account_code")
AMOUNTS = ("balance", "balance_carryforward", "debit_period", "credit_period")


def header(path):
    """Returns the names of a file's columns."""
    with open(path, newline="", encoding="utf-8") as file:
        return file.readline().rstrip("\r\n").split(",")


def arguments():
    """Returns what the command line says; with `--startup` alone the script ends here, as its libraries are loaded."""
    if sys.argv[1:] == ["--startup"]:
        sys.exit(0)
    return sys.argv[1:]


def url():
    """Returns the address of the database."""
    return os.environ["DATABASE_URL"]
