// Publishes one job: publish.js URL FILE ENTITY PERIOD [JOB_ID]. Needs amqplib.
//
// Prints the job's id. If it fails, run it again with that id: it may have arrived, and the same id is the same job.
"use strict";

const { randomUUID } = require("node:crypto");
const amqp = require("amqplib");

async function main([url, file, entity, period, job_id = randomUUID()]) {
  console.log(job_id);
  const connection = await amqp.connect(url);
  const channel = await connection.createConfirmChannel();
  let returned;
  channel.on("return", (message) => (returned = message.fields.replyText));
  const body = Buffer.from(JSON.stringify({ job_id, file, entity, period }));
  channel.publish("aura.jobs", "job", body, { contentType: "application/json", persistent: true, mandatory: true });
  await channel.waitForConfirms();
  await connection.close();
  // A message that no queue takes comes back before it is confirmed.
  if (returned) throw new Error(`no queue took the job: ${returned}`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
