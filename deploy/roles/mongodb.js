// Aura's roles in MongoDB, and the collections and the index that they may not make themselves. Run it in Aura's
// database as a user who may make roles there (root, or userAdmin and dbAdmin), once, and again after an upgrade:
//
//   mongosh "$ADMIN_URL/aura" deploy/roles/mongodb.js
//
//   aura_worker   inserts events and metadata, and finds them: no update, no removal, no index (one that lets documents
//                 expire would remove them), no other collection
//   aura_reader   finds them: the console, `verify`, `history`, reports
//
// A program gets a user of its own: db.createUser({user: "aura-worker-1", pwd: passwordPrompt(), roles: ["aura_worker"]})
//
// What it runs is plain commands, in mongodb.json beside it, for whoever has no mongosh: $DB there is the database.

const fs = require("fs");
const path = require("path");
const ALREADY_THERE = [48, 51002]; // NamespaceExists; a role of that name

const commands = fs.readFileSync(path.join(__dirname, "mongodb.json"), "utf8").replaceAll("$DB", db.getName());

for (const command of JSON.parse(commands)) {
    try {
        db.runCommand(command);
    } catch (error) {
        if (!ALREADY_THERE.includes(error.code)) throw error;
        if (command.createRole) {
            const { createRole, ...role } = command;
            db.runCommand({ updateRole: createRole, ...role });
        }
    }
}
print(`roles aura_worker and aura_reader, collections audit_trail and gl_metadata: ${db.getName()}`);
