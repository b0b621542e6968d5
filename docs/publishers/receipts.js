// Reads the receipts of a batch until so many have come: receipts.js URL BATCH_ID COUNT. Needs amqplib.
//
// Prints `listening` once none can be missed (publish after that), then a line a receipt. Ends with 1 if a job failed.
"use strict";

const amqp = require("amqplib");

async function main([url, batch, count]) {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  // A name of its own and durable: true would keep receipts while nobody reads.
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, "aura.events", `job.*.${batch}`);
  // A receipt may come twice; the last one of a job counts.
  const seen = new Map();
  await new Promise((done, fail) => {
    channel.on("error", fail);
    connection.on("error", fail);
    channel.consume(queue, (message) => {
      if (message === null) return fail(new Error("the queue is gone"));
      const { job_id, status, entity, period, rows, error } = JSON.parse(message.content);
      seen.set(job_id, status);
      console.log(status, entity, period, rows, error?.code ?? "");
      channel.ack(message);
      if (seen.size === Number(count)) done();
    }).then(() => console.log("listening"), fail);
  });
  await channel.close();
  await connection.close();
  process.exitCode = [...seen.values()].includes("failed") ? 1 : 0;
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
