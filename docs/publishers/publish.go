// Publishes one job: go run publish.go URL FILE ENTITY PERIOD [JOB_ID].
// Needs github.com/rabbitmq/amqp091-go and github.com/google/uuid.
//
// Prints the job's id. If it fails, run it again with that id: it may have arrived, and the same id is the same job.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

func publish(url string, job map[string]string) error {
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message := amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body}
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "aura.jobs", "job", true, false, message)
	if err != nil {
		return err
	}
	// Not confirmed also if the channel was closed, as it is where there is no such exchange.
	if !confirmation.Wait() {
		return errors.New("the broker did not confirm the job")
	}
	// A message that no queue takes comes back before it is confirmed.
	select {
	case back := <-returned:
		return fmt.Errorf("no queue took the job: %s", back.ReplyText)
	default:
		return connection.Close()
	}
}

func main() {
	id := uuid.NewString()
	if len(os.Args) > 5 {
		id = os.Args[5]
	}
	fmt.Println(id)
	job := map[string]string{"job_id": id, "file": os.Args[2], "entity": os.Args[3], "period": os.Args[4]}
	if err := publish(os.Args[1], job); err != nil {
		log.Fatal(err)
	}
}
