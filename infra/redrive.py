#!/usr/bin/env python3
"""Redrives what the fan-out could not deliver: the queue of unpublished events, the
bucket of unpublished batches, and the dead letters of the sweep, of the pushes and of
the mails.

Every step of the fan-out accepts duplicates and any order, so a redrive is always safe.
It deletes only what was delivered, and goes on after a failure. The exit code is 1 when
something is left.

    pip install boto3
    python3 infra/redrive.py --stack curfew --dry-run
    python3 infra/redrive.py --stack curfew
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import boto3

# The queues of messages that failed, and the queue that processes each again.
DEAD_LETTERS = {
    "SweepDeadLetters": "SweepQueue",
    "PushDeadLetters": "PushQueue",
    "MailsDeadLetters": "Mails",
    "NotifyDeadLetters": "NotifyQueue",
}


class Redrive:
    def __init__(self, stack: str, dry_run: bool) -> None:
        self.sqs, self.sns = boto3.client("sqs"), boto3.client("sns")
        self.s3, self.functions = boto3.client("s3"), boto3.client("lambda")
        self.dry_run = dry_run
        self.left = 0
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources")
        self.ids = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages.paginate(StackName=stack)
            for resource in page["StackResourceSummaries"]
            if "PhysicalResourceId" in resource
        }

    def run(self) -> None:
        for dead, queue in DEAD_LETTERS.items():
            self.redrive_queue(dead, lambda message, to=queue: self.send(to, message))
        self.redrive_queue("Unpublished", self.publish)
        self.redrive_bucket()

    def redrive_queue(self, name: str, deliver: Any) -> None:
        """Delivers each message of a queue, and deletes the delivered ones."""
        url = self.ids[name]
        if self.dry_run:
            wanted = ["ApproximateNumberOfMessages"]
            found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)
            return print(f"{name}: about {found['Attributes'][wanted[0]]} messages")
        count = 0
        for message in self.messages(url):
            if self.deliver(f"{name} {message['MessageId']}", deliver, message):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                count += 1
        print(f"{name}: {count} messages redriven")

    def messages(self, url: str) -> Iterator[dict[str, Any]]:
        """Returns each message once. One that is not deleted comes back an hour later."""
        while True:
            received = self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                VisibilityTimeout=3600,
                WaitTimeSeconds=1,
            )
            if not received.get("Messages"):
                return
            yield from received["Messages"]

    def redrive_bucket(self) -> None:
        """Invokes the publisher with each batch of the bucket, and deletes the published."""
        bucket, count = self.ids["UnpublishedBatches"], 0
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for found in [entry for page in pages for entry in page.get("Contents", [])]:
            key = found["Key"]
            if self.dry_run:
                count += 1
                continue
            body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            if self.deliver(f"UnpublishedBatches {key}", self.invoke_with_payload, body):
                self.s3.delete_object(Bucket=bucket, Key=key)
                count += 1
        print(f"UnpublishedBatches: {count} batches" + ("" if self.dry_run else " redriven"))

    def deliver(self, what: str, deliver: Any, message: Any) -> bool:
        """Returns whether the message was delivered. Reports and counts one that was not."""
        try:
            deliver(message)
        except Exception as error:  # any failure leaves the message where it is
            print(f"left: {what}: {error}", file=sys.stderr)
            self.left += 1
            return False
        return True

    def send(self, queue: str, message: dict[str, Any]) -> None:
        attributes = self.attributes(message)
        self.sqs.send_message(
            QueueUrl=self.ids[queue], MessageBody=message["Body"], MessageAttributes=attributes
        )

    def publish(self, message: dict[str, Any]) -> None:
        attributes = self.attributes(message)
        # A row that could not be read: only the publisher can make events of it.
        if attributes.get("content", {}).get("StringValue") == "stream-record":
            return self.invoke(message["Body"].encode())
        self.sns.publish(
            TopicArn=self.ids["Events"], Message=message["Body"], MessageAttributes=attributes
        )

    @staticmethod
    def attributes(message: dict[str, Any]) -> dict[str, Any]:
        members = ("DataType", "StringValue", "BinaryValue")
        return {
            name: {member: value[member] for member in members if member in value}
            for name, value in message.get("MessageAttributes", {}).items()
        }

    def invoke_with_payload(self, body: bytes) -> None:
        """Invokes the publisher with the records of a batch, which Lambda has escaped."""
        payload = json.loads(body)["payload"]
        self.invoke((payload if isinstance(payload, str) else json.dumps(payload)).encode())

    def invoke(self, payload: bytes) -> None:
        answer = self.functions.invoke(
            FunctionName=self.ids["PublishRevocations"], Payload=payload
        )
        result = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise RuntimeError(f"the publisher failed: {result}")
        if result and result.get("batchItemFailures"):
            raise RuntimeError(f"the publisher left {len(result['batchItemFailures'])} records")


def main() -> int:
    parser = argparse.ArgumentParser(description="Redrives what the fan-out could not deliver.")
    parser.add_argument("--stack", required=True, help="the name of the stack")
    parser.add_argument("--dry-run", action="store_true", help="only count, and change nothing")
    arguments = parser.parse_args()
    redrive = Redrive(arguments.stack, arguments.dry_run)
    redrive.run()
    return 1 if redrive.left else 0


if __name__ == "__main__":
    sys.exit(main())
