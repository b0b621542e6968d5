"""Checks events against OpenLineage's specification, as its Python client carries it.

Usage: lineage.py < EVENTS        one JSON text a line

The client's classes are made from the JSON Schemas that OpenLineage publishes: each has the name and version of its
schema, and its fields with their types. An event must be a RunEvent of that version, and every facet, which names its
schema, one of that class, in the place for its kind, with no field missing, unknown or of another type. Facets whose
schema is `urn:aura:…` are Aura's own and only need what every facet has. Prints `true` or the first fault for each.
"""

import enum
import importlib
import json
import pkgutil
import sys
import types
import typing

import attr
import openlineage.client.generated as generated
from openlineage.client.generated import base

# The names that facets have in events, by their classes; the schemas say them, the classes do not.
KEYS = {
    "ParentRunFacet": "parent",
    "ProcessingEngineRunFacet": "processing_engine",
    "ErrorMessageRunFacet": "errorMessage",
    "DocumentationJobFacet": "documentation",
    "JobTypeJobFacet": "jobType",
    "SchemaDatasetFacet": "schema",
    "DatasetTypeDatasetFacet": "datasetType",
    "DatasetVersionDatasetFacet": "version",
    "DatasourceDatasetFacet": "dataSource",
    "DataQualityMetricsInputDatasetFacet": "dataQualityMetrics",
    "DataQualityAssertionsDatasetFacet": "dataQualityAssertions",
    "InputStatisticsInputDatasetFacet": "inputStatistics",
    "OutputStatisticsOutputDatasetFacet": "outputStatistics",
}


class Fault(Exception):
    pass


def all_facets():
    modules = [importlib.import_module(f"{generated.__name__}.{found.name}") for found in pkgutil.iter_modules(generated.__path__)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {kind._get_schema(): kind for kind in classes if issubclass(kind, base.BaseFacet)}


FACETS = all_facets()


def check(place, kind, value):
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return
    if origin in (typing.Union, types.UnionType):
        choices = [choice for choice in inner if choice is not type(None)]
        if len(choices) == 1 and value is not None:
            return check(place, choices[0], value)
        raise Fault(f"{place} is {value!r}; a field without a value is left out")
    if origin is list:
        if not isinstance(value, list):
            raise Fault(f"{place} is no list")
        for number, item in enumerate(value):
            check(f"{place}[{number}]", inner[0], item)
    elif origin is dict:
        if not isinstance(value, dict):
            raise Fault(f"{place} is no object")
        for name, item in value.items():
            if isinstance(inner[1], type) and issubclass(inner[1], base.BaseFacet):
                facet(f"{place}.{name}", name, inner[1], item)
            else:
                check(f"{place}.{name}", inner[1], item)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in [member.value for member in kind]:
            raise Fault(f"{place} is {value!r}")
    elif attr.has(kind):
        whole(place, kind, value)
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Fault(f"{place} is no number")
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Fault(f"{place} is no {kind.__name__}: {value!r}")


def facet(place, name, kind, value):
    if not isinstance(value, dict):
        raise Fault(f"{place} is no object")
    schema = value.get("_schemaURL", "")
    if schema.startswith("urn:aura:"):
        check(f"{place}._producer", str, value.get("_producer"))
        return
    if schema not in FACETS:
        raise Fault(f"{place} is of the unknown schema {schema!r}")
    found = FACETS[schema]
    if not issubclass(found, kind):
        raise Fault(f"{place} is a {found.__name__}, not a {kind.__name__}")
    if KEYS[found.__name__] != name:
        raise Fault(f"{place} is a {found.__name__}")
    whole(place, found, value)


def whole(place, kind, value):
    if not isinstance(value, dict):
        raise Fault(f"{place} is no object")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in attr.fields(kind)}
    for name, field in fields.items():
        # What every event and facet must have has a default in the client, which fills it in.
        required = field.default is attr.NOTHING or name in ("_producer", "_schemaURL", "producer", "schemaURL")
        if required and name not in value:
            raise Fault(f"{place} lacks {name}")
    for name, item in value.items():
        if name not in fields:
            raise Fault(f"{place} has {name}, which the schema does not know")
        check(f"{place}.{name}", hints[name], item)
        if fields[name].validator:
            try:
                fields[name].validator(None, fields[name], item)
            except ValueError as error:
                raise Fault(f"{place}.{name}: {error}") from error


def verdict(line):
    event = json.loads(line)
    try:
        if event.get("schemaURL") != base.RunEvent._get_schema():
            raise Fault(f"the event is of {event.get('schemaURL')!r}")
        check("event", base.RunEvent, event)
    except Fault as fault:
        return str(fault)
    return "true"


for line in sys.stdin:
    print(verdict(line))
