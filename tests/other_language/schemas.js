// Checks JSON texts against a schema with Ajv in strict mode, where a format, keyword or type that it
// does not know is an error.
//
// Usage: schemas.js SCHEMA.json < TEXTS      one JSON text a line
//
// Prints `true` or the first fault for each line. Ends with 1 if Ajv does not take the schema.
"use strict";

const fs = require("node:fs");
const Ajv = require("ajv/dist/2020");
const addFormats = require("ajv-formats");

const refuse = (...words) => {
  throw new Error(words.join(" "));
};
const ajv = new Ajv({ strict: true, logger: { log: refuse, warn: refuse, error: refuse } });
addFormats(ajv);
const validate = ajv.compile(JSON.parse(fs.readFileSync(process.argv[2], "utf8")));

const lines = fs.readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
const verdict = (line) => {
  if (validate(JSON.parse(line))) return "true";
  const { instancePath, message } = validate.errors[0];
  return `${instancePath || "/"} ${message}`;
};
process.stdout.write(lines.map((line) => `${verdict(line)}\n`).join(""));
