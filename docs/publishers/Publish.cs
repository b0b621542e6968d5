// Publishes one job: dotnet run -- URL FILE ENTITY PERIOD [JOB_ID]. Needs RabbitMQ.Client 7.
//
// Prints the job's id. If it fails, run it again with that id: it may have arrived, and the same id is the same job.

using System.Text.Json;
using RabbitMQ.Client;

var id = args.Length > 4 ? args[4] : Guid.NewGuid().ToString();
Console.WriteLine(id);
var body = JsonSerializer.SerializeToUtf8Bytes(new { job_id = id, file = args[1], entity = args[2], period = args[3] });

var factory = new ConnectionFactory { Uri = new Uri(args[0]) };
await using var connection = await factory.CreateConnectionAsync();
// With tracking, BasicPublishAsync waits for the confirm, and throws if the broker refuses or returns the message.
await using var channel = await connection.CreateChannelAsync(
    new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true));
var properties = new BasicProperties { ContentType = "application/json", Persistent = true };
await channel.BasicPublishAsync("aura.jobs", "job", mandatory: true, basicProperties: properties, body: body);
await connection.CloseAsync();
