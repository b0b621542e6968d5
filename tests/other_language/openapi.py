"""Holds a document of OpenAPI, and answers that were really given, against what they say of themselves.

The one argument is a file: {"document": ..., "answers": [{"method", "path", "status", "body"}, ...],
"schemas": [{"name", "schema", "answer"}, ...]}.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)
document = given["document"]
OpenAPIV31SpecValidator(document).validate()

registry = Registry().with_resource("urn:console", Resource(contents=document, specification=DRAFT202012))


def in_document(schema):
    """The schema, whose references lead into the document."""
    if isinstance(schema, dict):
        return {
            name: "urn:console" + value if name == "$ref" and value.startswith("#") else in_document(value)
            for name, value in schema.items()
        }
    return [in_document(value) for value in schema] if isinstance(schema, list) else schema


def check(name, schema, answer):
    Draft202012Validator.check_schema(schema)
    for error in Draft202012Validator(schema, registry=registry).iter_errors(answer):
        sys.exit(f"{name}: {error.json_path}: {error.message[:500]}")


for answer in given["answers"]:
    responses = document["paths"][answer["path"]][answer["method"]]["responses"]
    response = responses.get(str(answer["status"]), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = in_document(response["content"]["application/json"]["schema"])
    if schema == {"type": "object"}:
        sys.exit(f"{answer['path']} is not described")
    check(f"{answer['method']} {answer['path']} ({answer['status']})", schema, answer["body"])
for answer in given["schemas"]:
    check(answer["name"], answer["schema"], answer["answer"])
print("all answers are what they are said to be")
