// Publishes one job: java -cp amqp-client.jar:slf4j-api.jar Publish.java URL FILE ENTITY PERIOD [JOB_ID]
//
// Prints the job's id. If it fails, run it again with that id: it may have arrived, and the same id is the same job.

import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;

public class Publish {
    public static void main(String[] args) throws Exception {
        String id = args.length > 4 ? args[4] : UUID.randomUUID().toString();
        System.out.println(id);
        // A JSON library does this with any text; these need no escapes.
        String body = String.format("{\"job_id\": \"%s\", \"file\": \"%s\", \"entity\": \"%s\", \"period\": \"%s\"}",
                id, args[1], args[2], args[3]);
        var factory = new ConnectionFactory();
        factory.setUri(args[0]);
        var returned = new AtomicReference<String>();
        try (var connection = factory.newConnection(); var channel = connection.createChannel()) {
            channel.confirmSelect();
            channel.addReturnListener(message -> returned.set(message.getReplyText()));
            var persistent = MessageProperties.MINIMAL_PERSISTENT_BASIC.builder().contentType("application/json").build();
            channel.basicPublish("aura.jobs", "job", true, persistent, body.getBytes("UTF-8"));
            channel.waitForConfirmsOrDie(10_000);
        }
        // A message that no queue takes comes back before it is confirmed.
        if (returned.get() != null) {
            throw new IllegalStateException("no queue took the job: " + returned.get());
        }
    }
}
