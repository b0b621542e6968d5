"""Checks deploy/monitoring/grafana-dashboard.json against Grafana's own models of a dashboard.

These are the classes of grafana-foundation-sdk, which are generated from the schemas of a release of Grafana. They read
leniently: a field that they do not know is dropped, and a value of another type is kept. So what was read is written
again, in which nothing may be missing, and each value is compared with the type that its field is declared with.

Usage: dashboard.py DASHBOARD.json
"""

import enum
import inspect
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, units

COLUMNS = 24


def fits(value, declared, place, faults):
    """Notes where a value is not of its declared type."""
    origin = typing.get_origin(declared)
    if declared in (object, typing.Any):
        # What a panel of its kind has: anything may stand there, and one of the models does.
        fields_fit(value, place, faults)
        return
    if origin is typing.Union or origin is types.UnionType:
        found = []
        choices = [choice for choice in typing.get_args(declared) if (choice is types.NoneType) == (value is None)]
        exact = [choice for choice in choices if inspect.isclass(choice) and type(value) is choice]
        for choice in exact or choices:
            of_choice = []
            fits(value, choice, place, of_choice)
            if not of_choice:
                return
            found.append(of_choice)
        # The choice that comes closest says most.
        faults.extend(min(found, key=len, default=[f"{place} must not be {value!r}"]))
    elif origin is typing.Literal:
        if value not in typing.get_args(declared):
            faults.append(f"{place} is {value!r}, and not one of {typing.get_args(declared)}")
    elif origin is list:
        if not isinstance(value, list):
            faults.append(f"{place} is {value!r}, and not a list")
            return
        for number, item in enumerate(value):
            fits(item, typing.get_args(declared)[0], f"{place}[{number}]", faults)
    elif origin is dict:
        if not isinstance(value, dict):
            faults.append(f"{place} is {value!r}, and not an object")
            return
        for key, item in value.items():
            fits(item, typing.get_args(declared)[1], f"{place}.{key}", faults)
    elif declared is types.NoneType:
        if value is not None:
            faults.append(f"{place} is {value!r}, and not null")
    elif inspect.isclass(declared) and issubclass(declared, enum.Enum):
        if value not in [member.value for member in declared]:
            faults.append(f"{place} is {value!r}, and not one of {[member.value for member in declared]}")
    elif declared is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            faults.append(f"{place} is {value!r}, and not a number")
    elif declared is int:
        if isinstance(value, bool) or not isinstance(value, int):
            faults.append(f"{place} is {value!r}, and not a whole number")
    elif isinstance(value, dict) and hasattr(declared, "from_json"):
        # Some parts are left as they are.
        read = declared.from_json(value)
        kept(value, read.to_json(), place, faults)
        fields_fit(read, place, faults)
    elif not isinstance(value, declared):
        faults.append(f"{place} is {value!r}, and not {declared}")
    else:
        fields_fit(value, place, faults)


def fields_fit(value, place, faults):
    """The same for the fields of one of the models, which may be of a subclass of what was declared."""
    if not type(value).__module__.startswith("grafana_foundation_sdk.models"):
        return
    for name, declared in typing.get_type_hints(type(value)).items():
        # The models cannot tell what was left out from what is null.
        if (held := getattr(value, name)) is not None:
            fits(held, declared, f"{place}.{name}", faults)


def kept(original, written, place, faults):
    """Notes what was read and is not written again."""
    if isinstance(original, dict) and isinstance(written, dict):
        for key, value in original.items():
            if key in written:
                kept(value, written[key], f"{place}.{key}", faults)
            elif value is not None:
                faults.append(f"{place}.{key} is not known")
    elif isinstance(original, list) and isinstance(written, list) and len(original) == len(written):
        for number, (value, other) in enumerate(zip(original, written)):
            kept(value, other, f"{place}[{number}]", faults)
    elif original != written:
        faults.append(f"{place} is {original!r}, and was read as {written!r}")


def laid_out(panels, faults):
    """Notes what Grafana would show, but not as it was meant."""
    known_units = {value for name, value in vars(units).items() if isinstance(value, str) and name[0].isupper()}
    ids, cells = set(), {}
    for panel in panels:
        title, grid = panel["title"], panel["gridPos"]
        if panel["id"] in ids:
            faults.append(f"{title}: another panel has its id {panel['id']}")
        ids.add(panel["id"])
        if grid["x"] + grid["w"] > COLUMNS:
            faults.append(f"{title}: it reaches past column {COLUMNS}")
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                if (other := cells.setdefault((x, y), title)) != title:
                    faults.append(f"{title}: it lies over {other}")
        if panel["type"] == "row":
            continue
        if panel["fieldConfig"]["defaults"].get("unit") not in known_units:
            faults.append(f"{title}: {panel['fieldConfig']['defaults'].get('unit')!r} is not a unit that Grafana knows")
        if not panel["description"] or not panel["targets"]:
            faults.append(f"{title}: it lacks a description or a query")
        if len({target["refId"] for target in panel["targets"]}) < len(panel["targets"]):
            faults.append(f"{title}: two of its queries have the same refId")
        for target in panel["targets"]:
            if not target["expr"].strip() or target["datasource"]["uid"] != "${datasource}":
                faults.append(f"{title}: a query lacks its expression, or names a data source of its own")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        original = json.load(file)
    plugins.register_default_plugins()
    read = dashboard.Dashboard.from_json(original)
    faults = []
    fields_fit(read, "dashboard", faults)
    kept(original, json.loads(JSONEncoder().encode(read)), "dashboard", faults)
    laid_out(original["panels"], faults)
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    queries = sum(len(panel.get("targets", [])) for panel in original["panels"])
    print(f"{len(original['panels'])} panels, {queries} queries")


if __name__ == "__main__":
    main()
