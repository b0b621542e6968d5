// Checks the AsyncAPI document, and messages against it.
//
// Usage: channels.js ASYNCAPI.yaml < MESSAGES
//
// The document must be one of AsyncAPI's own JSON Schema of its version, and Ajv must take every schema in it in
// strict mode. Each line of the messages is {"message", "properties", "headers", "payload"}: `message` names
// one of components/messages, the others are checked if they are given. Prints `true` or the first fault for each.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const yaml = require("js-yaml");
const Ajv = require("ajv/dist/2020");
const Ajv07 = require("ajv");
const addFormats = require("ajv-formats");
const specs = require("@asyncapi/specs");

const file = process.argv[2];
const document = yaml.load(fs.readFileSync(file, "utf8"));

const ofSpec = new Ajv07({ strict: false, validateFormats: false });
const isDocument = ofSpec.compile(specs.schemasWithoutId[document.asyncapi]);
if (!isDocument(document)) {
  console.error(isDocument.errors.slice(0, 5));
  process.exit(1);
}

// A schema with what it refers to in its place; none of ours refers to itself.
const whole = (node) => {
  if (Array.isArray(node)) return node.map(whole);
  if (node === null || typeof node !== "object") return node;
  if (typeof node.$ref === "string" && node.$ref.startsWith("#/components/")) {
    const steps = node.$ref.slice(2).split("/");
    return whole(steps.reduce((place, step) => place[step], document));
  }
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, whole(value)]));
};

// Rules that name a field in `required` alone are no mistake of ours.
const ajv = new Ajv({ strict: true, strictRequired: false });
addFormats(ajv);
const compiled = (schema) => schema && ajv.compile(schema);
const payload = (node) => {
  const file_of = node?.schema?.$ref;
  return file_of && compiled(JSON.parse(fs.readFileSync(path.join(path.dirname(file), file_of), "utf8")));
};
const messages = {};
for (const [name, node] of Object.entries(document.components.messages)) {
  messages[name] = {
    properties: compiled(whole(node["x-amqp-properties"])),
    headers: compiled(whole(node.headers)),
    payload: payload(node.payload),
  };
  for (const example of node.examples ?? []) {
    if (!messages[name].payload(example.payload)) throw new Error(`an example of ${name} is none`);
  }
}

const verdict = (line) => {
  const { message, ...parts } = JSON.parse(line);
  for (const [part, value] of Object.entries(parts)) {
    const validate = messages[message][part];
    if (!validate) return `${message} says nothing of ${part}`;
    if (!validate(value)) return `${part}${validate.errors[0].instancePath} ${validate.errors[0].message}`;
  }
  return "true";
};
const lines = fs.readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
process.stdout.write(lines.map((line) => `${verdict(line)}\n`).join(""));
