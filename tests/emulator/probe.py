"""Tells how the local AWS behaves where it is known to fall short.

`probe.py FOLDER` deploys a small stack of its own to the local AWS that the
environment names, tries it, and writes what it saw to its standard output as
one JSON document. It judges nothing: that is for the tests.
"""

import concurrent.futures
import io
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from wsproto import ConnectionType, WSConnection
from wsproto import events as sockets

STACK = "probe"
DEADLINE_SECONDS = 30

# A function without a library: it writes each stream batch and the last
# handshake to a file, fails the first record of the first batch, answers a
# request with its event, and a frame too, unless that asks it to fail.
FUNCTION = """#!{python}
import http.client, json, os, time

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
first = True
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = runtime.getresponse()
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(answer.read())
    # The emulator waits 50 ms for a function that prints nothing.
    print("called", flush=True)
    if "Records" in event:
        keys = [one["dynamodb"]["Keys"]["id"]["S"] for one in event["Records"]]
        with open({batches!r}, "a") as batches:
            print(json.dumps(keys), file=batches)
        failed = event["Records"][0]["dynamodb"]["SequenceNumber"]
        failures = [{{"itemIdentifier": failed}}] if first else []
        first = False
        result = {{"batchItemFailures": failures}}
    elif event["requestContext"].get("eventType") == "CONNECT":
        with open({handshake!r}, "w") as handshake:
            json.dump(event, handshake)
        offered = event["headers"].get("sec-websocket-protocol", "").split(",")[0]
        accepted = {{"statusCode": 200, "headers": {{"Sec-WebSocket-Protocol": offered}}}}
        result = {{"statusCode": 401}} if "x-refuse" in event["headers"] else accepted
    else:
        if "x-slow" in event.get("headers", {{}}):
            time.sleep(0.5)
        result = {{"statusCode": 200, "body": json.dumps({{**event, "pid": os.getpid()}})}}
    kind = "error" if event.get("body") == "fail" else "response"
    path = f"/2018-06-01/runtime/invocation/{{request_id}}/{{kind}}"
    runtime.request("POST", path, json.dumps(result))
    runtime.getresponse().read()
"""

INTEGRATION = {
    "type": "aws_proxy",
    "httpMethod": "POST",
    "payloadFormatVersion": "2.0",
    "uri": {
        "Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31"
        "/functions/${Function.Arn}/invocations"
    },
}

TEMPLATE = {
    "Resources": {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
                "TimeToLiveSpecification": {"AttributeName": "delete_at", "Enabled": True},
            },
        },
        "Access": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
                "Policies": [
                    {
                        "PolicyName": "Stream",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {
                                    "Effect": "Allow",
                                    "Action": [
                                        "dynamodb:DescribeStream",
                                        "dynamodb:GetRecords",
                                        "dynamodb:GetShardIterator",
                                        "dynamodb:ListStreams",
                                    ],
                                    "Resource": {"Fn::GetAtt": ["Table", "StreamArn"]},
                                }
                            ],
                        },
                    }
                ],
            },
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Role": {"Fn::GetAtt": ["Access", "Arn"]},
                "Code": {"S3Bucket": "probe-code", "S3Key": "function.zip"},
                "ReservedConcurrentExecutions": 3,
            },
        },
        "Records": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
                "FunctionName": {"Ref": "Function"},
                "StartingPosition": "TRIM_HORIZON",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        },
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {
                "Body": {
                    "openapi": "3.0.1",
                    "components": {
                        "securitySchemes": {
                            "AWS_IAM": {
                                "type": "apiKey",
                                "name": "Authorization",
                                "in": "header",
                                "x-amazon-apigateway-authtype": "awsSigv4",
                            }
                        }
                    },
                    "paths": {
                        "/echo": {"get": {"x-amazon-apigateway-integration": INTEGRATION}},
                        "/guarded": {
                            "get": {
                                "security": [{"AWS_IAM": []}],
                                "x-amazon-apigateway-integration": INTEGRATION,
                            }
                        },
                        "$default": {
                            "x-amazon-apigateway-any-method": {
                                "isDefaultRoute": True,
                                "x-amazon-apigateway-integration": INTEGRATION,
                            }
                        },
                    },
                },
            },
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "StageName": "$default",
                "AutoDeploy": True,
                "DefaultRouteSettings": {
                    "ThrottlingRateLimit": "20",
                    "ThrottlingBurstLimit": "40",
                },
            },
        },
        "SocketApi": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {
                "Name": "sockets",
                "ProtocolType": "WEBSOCKET",
                "RouteSelectionExpression": "$request.body.type",
            },
        },
        "SocketIntegration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": {"Ref": "SocketApi"},
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": INTEGRATION["uri"],
            },
        },
        "SocketStage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {
                "ApiId": {"Ref": "SocketApi"},
                "StageName": "v1",
                "AutoDeploy": True,
            },
        },
        **{
            name: {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {
                    "ApiId": {"Ref": "SocketApi"},
                    "RouteKey": key,
                    "Target": {"Fn::Sub": "integrations/${SocketIntegration}"},
                },
            }
            for name, key in (("ConnectRoute", "$connect"), ("DefaultRoute", "$default"))
        },
    }
}


def deploy(batches: pathlib.Path, handshake: pathlib.Path) -> dict:
    """Deploys the stack; the physical id of each resource."""
    code = FUNCTION.format(
        python=sys.executable, batches=str(batches), handshake=str(handshake)
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("bootstrap", code)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="probe-code")
    s3.put_object(Bucket="probe-code", Key="function.zip", Body=archive.getvalue())
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(TEMPLATE),
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )
    resources = cloudformation.list_stack_resources(StackName=STACK)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in resources["StackResourceSummaries"]
    }


def applied(ids: dict) -> dict:
    """What of the template has come to be."""
    routes = boto3.client("apigatewayv2").get_routes(ApiId=ids["Api"])["Items"]
    ttl = boto3.client("dynamodb").describe_time_to_live(TableName=ids["Table"])
    concurrency = boto3.client("lambda").get_function_concurrency(
        FunctionName=ids["Function"]
    )
    stage = boto3.client("apigatewayv2").get_stage(ApiId=ids["Api"], StageName="$default")
    throttle = stage.get("DefaultRouteSettings", {})
    return {
        "routes": {route["RouteKey"]: route["AuthorizationType"] for route in routes},
        "burst_limit": throttle.get("ThrottlingBurstLimit"),
        "time_to_live": ttl["TimeToLiveDescription"]["TimeToLiveStatus"],
        "reserved_concurrency": concurrency.get("ReservedConcurrentExecutions"),
    }


def call(ids: dict) -> tuple[dict, float]:
    """Returns the event of a request, and how long the call took, in ms."""
    endpoint = boto3.client("sts").meta.endpoint_url
    request = urllib.request.Request(
        f"{endpoint}/_aws/execute-api/{ids['Api']}/$default/echo",
        headers={"x-curfew-client-address": "203.0.113.7"},
    )
    begun = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)
    return event, (time.perf_counter() - begun) * 1000


def processes_of_many_calls(ids: dict) -> dict:
    """How many calls were made at once, and how many processes took them."""
    endpoint = boto3.client("sts").meta.endpoint_url

    def pid(_: int) -> int:
        request = urllib.request.Request(
            f"{endpoint}/_aws/execute-api/{ids['Api']}/$default/echo",
            headers={"x-slow": "yes"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["pid"]

    # Its reservation would refuse what does not wait.
    boto3.client("lambda").delete_function_concurrency(FunctionName=ids["Function"])
    calls = 6 * (os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(max_workers=calls) as pool:
        pids = set(pool.map(pid, range(calls)))
    return {"calls": calls, "processes": len(pids)}


def preflight(ids: dict) -> str:
    """Returns the method in the event of an OPTIONS request; none when the
    function was not called."""
    endpoint = boto3.client("sts").meta.endpoint_url
    request = urllib.request.Request(
        f"{endpoint}/_aws/execute-api/{ids['Api']}/$default/echo",
        headers={"origin": "https://app.example.com"},
        method="OPTIONS",
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["requestContext"]["http"]["method"]
    except urllib.error.HTTPError:
        return ""


def signed_for_another_host(ids: dict) -> int:
    """The status of a call by a role that may make it, whose signature covers
    the host and the path that our front is asked for."""
    sts = boto3.client("sts")
    account = sts.get_caller_identity()["Account"]
    region = sts.meta.region_name
    keys = keys_with_the_right(
        "caller",
        "execute-api:Invoke",
        f"arn:aws:execute-api:{region}:{account}:{ids['Api']}/$default/GET/guarded",
    )
    asked = AWSRequest("GET", "http://api.example.com:9400/guarded")
    credentials = Credentials(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    )
    SigV4Auth(credentials, "execute-api", region).add_auth(asked)
    request = urllib.request.Request(
        f"{sts.meta.endpoint_url}/_aws/execute-api/{ids['Api']}/$default/guarded",
        headers={**asked.headers, "x-curfew-client-host": "api.example.com:9400"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Socket:
    """A socket's client."""

    def __init__(self, ids: dict, headers: tuple = (), subprotocols: tuple = ()) -> None:
        host = boto3.client("sts").meta.endpoint_url.removeprefix("http://")
        name, port = host.split(":")
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.stream = socket.create_connection((name, int(port)), DEADLINE_SECONDS)
        self.events: list = []
        target = f"/_aws/execute-api/{ids['SocketApi']}/v1"
        self.send(
            sockets.Request(
                host, target, extra_headers=list(headers), subprotocols=list(subprotocols)
            )
        )
        self.answer = self.next()

    def send(self, event: sockets.Event) -> None:
        self.stream.sendall(self.connection.send(event))

    def next(self) -> sockets.Event:
        while not self.events:
            self.connection.receive_data(self.stream.recv(65536) or None)
            self.events = list(self.connection.events())
        return self.events.pop(0)

    def frames(self, wanted: int) -> list:
        """As many frames as are wanted; fewer when the socket closes."""
        found = []
        while len(found) < wanted:
            event = self.next()
            if isinstance(event, sockets.CloseConnection):
                break
            found.append(event.data)
        return found


def on_sockets(ids: dict, handshake: pathlib.Path) -> dict:
    """What a client of a socket and its function see."""
    accepted = Socket(
        ids,
        headers=(
            (b"x-curfew-client-address", b"203.0.113.7"),
            (b"authorization", b"first"),
            (b"authorization", b"second"),
        ),
        subprotocols=("probe.v1", "probe.secret"),
    )
    event = json.loads(handshake.read_text())
    refused = Socket(ids, headers=((b"x-refuse", b"1"),))

    # One after the other, so that no frame comes after that of the failure.
    answered = Socket(ids)
    answered.send(sockets.TextMessage("answer"))
    answered.send(sockets.TextMessage("fail"))
    first = answered.frames(1)[0]
    notice = {"message", "connectionId", "requestId"}

    large = Socket(ids)
    large.send(sockets.TextMessage("x" * 200_000))
    large.send(sockets.TextMessage("fail"))
    return {
        "subprotocol": accepted.answer.subprotocol,
        "source_address": event["requestContext"]["identity"]["sourceIp"],
        "authorization": event["multiValueHeaders"]["authorization"],
        "headers": sorted(event["headers"]),
        "refusal": refused.answer.status_code,
        "first_frame_is_the_gateways": json.loads(first).keys() == notice,
        "takes_large_messages": bool(large.frames(1)),
    }


def second_batch(ids: dict, batches: pathlib.Path) -> list:
    """The keys that the function is handed after it has failed the first."""
    seen: list = []
    for key in ("first", "second"):
        boto3.client("dynamodb").put_item(
            TableName=ids["Table"], Item={"id": {"S": key}}
        )
        wanted = len(seen) + 1
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(seen) < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
            if batches.exists():
                seen = batches.read_text().splitlines()
    return json.loads(seen[1]) if len(seen) > 1 else []


def publishes_where_tls_is_demanded() -> bool:
    sns = boto3.client("sns")
    account = boto3.client("sts").get_caller_identity()["Account"]
    topic = sns.create_topic(Name="by-tls-only")["TopicArn"]
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Principal": principal, "Action": "sns:Publish", "Resource": topic}
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", **statement},
            {"Effect": "Deny", **statement, "Condition": condition},
        ],
    }
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )
    try:
        sns.publish(TopicArn=topic, Message="told")
    except sns.exceptions.AuthorizationErrorException:
        return False
    return True


def keys_with_the_right(name: str, action: str, resource: str, denied: list = ()) -> dict:
    """The keys of a new role that may do one thing."""
    iam = boto3.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    right = {"Effect": "Allow", "Action": action, "Resource": resource}
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="Right",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [right, *denied]}),
    )
    sts = boto3.client("sts")
    return sts.assume_role(RoleArn=role, RoleSessionName="probe")["Credentials"]


def publishes_batches_by_the_right_to_publish() -> bool:
    topic = boto3.client("sns").create_topic(Name="by-batches")["TopicArn"]
    keys = keys_with_the_right("publisher", "sns:Publish", topic)
    sns = boto3.client(
        "sns",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    try:
        entry = {"Id": "0", "Message": "told"}
        answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[entry])
    except sns.exceptions.AuthorizationErrorException:
        return False
    return len(answer["Successful"]) == 1


def mails_to_one_address() -> list:
    """The subjects of the mails that are shown for one of two addresses."""
    ses = boto3.client("sesv2")
    for address, subject in (("a+b@example.com", "to one"), ("b@example.com", "to another")):
        ses.send_email(
            FromEmailAddress="one@example.com",
            Destination={"ToAddresses": [address]},
            Content={"Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": "it"}}}},
        )
    url = f"{ses.meta.endpoint_url}/_ministack/ses/messages?to=a%2Bb%40example.com"
    with urllib.request.urlopen(url) as answer:
        messages = json.load(answer)["messages"]
    return [mail["Subject"] for mails in messages.values() for mail in mails]


def mails_by_the_right_to_one_sender() -> list:
    """The senders from which a role may send that has the right to one of them."""
    ses = boto3.client("sesv2")
    senders = ["one@example.com", "two@example.com"]
    for sender in senders:
        ses.create_email_identity(EmailIdentity=sender)
    account = boto3.client("sts").get_caller_identity()["Account"]
    identity = f"arn:aws:ses:{ses.meta.region_name}:{account}:identity/one@example.com"
    condition = {"StringNotEquals": {"ses:FromAddress": "one@example.com"}}
    denied = {"Effect": "Deny", "Action": "ses:SendEmail", "Resource": "*", "Condition": condition}
    keys = keys_with_the_right("sender", "ses:SendEmail", identity, [denied])
    ses = boto3.client(
        "sesv2",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    sent = []
    for sender in senders:
        try:
            ses.send_email(
                FromEmailAddress=sender,
                Destination={"ToAddresses": ["lea@example.com"]},
                Content={
                    "Simple": {"Subject": {"Data": "told"}, "Body": {"Text": {"Data": "told"}}}
                },
            )
            sent.append(sender)
        except ses.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
    return sent


def updates() -> list:
    """The updates that a role may make to which one attribute is denied."""
    table = boto3.client("dynamodb").create_table(
        TableName="by-attributes",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )["TableDescription"]
    action, arn = "dynamodb:UpdateItem", table["TableArn"]
    condition = {"ForAnyValue:StringEquals": {"dynamodb:Attributes": ["shut"]}}
    denied = {"Effect": "Deny", "Action": action, "Resource": arn, "Condition": condition}
    keys = keys_with_the_right("updater", action, arn, [denied])
    dynamodb = boto3.client(
        "dynamodb",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    done = []
    for attribute in ("open", "shut"):
        update = {
            "TableName": "by-attributes",
            "Key": {"id": {"S": "row"}},
            "UpdateExpression": "SET #name = :value",
            "ExpressionAttributeNames": {"#name": attribute},
            "ExpressionAttributeValues": {":value": {"S": "x"}},
        }
        attempts = {
            attribute: lambda: dynamodb.update_item(**update),
            f"{attribute} in a transaction": lambda: dynamodb.transact_write_items(
                TransactItems=[{"Update": update}]
            ),
        }
        for name, attempt in attempts.items():
            try:
                attempt()
                done.append(name)
            except dynamodb.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "AccessDeniedException":
                    raise
    return done


def main() -> None:
    folder, complete = map(pathlib.Path, sys.argv[1:])
    batches = folder / "batches.txt"
    batches.unlink(missing_ok=True)
    handshake = folder / "handshake.json"
    ids = deploy(batches, handshake)
    seen: dict = {"deployed": applied(ids)}
    subprocess.run(
        [sys.executable, complete, STACK], check=True, stdout=subprocess.DEVNULL
    )
    seen["completed"] = applied(ids)
    event, _ = call(ids)
    seen["source_address"] = event["requestContext"]["http"]["sourceIp"]
    seen["headers"] = sorted(event["headers"])
    seen["warm_call_ms"] = statistics.median(call(ids)[1] for _ in range(15))
    seen["preflight"] = preflight(ids)
    seen["signed_for_another_host"] = signed_for_another_host(ids)
    seen["sockets"] = on_sockets(ids, handshake)
    seen["at_once"] = processes_of_many_calls(ids)
    seen["second_batch"] = second_batch(ids, batches)
    seen["publishes_where_tls_is_demanded"] = publishes_where_tls_is_demanded()
    seen["publishes_batches_by_the_right_to_publish"] = publishes_batches_by_the_right_to_publish()
    seen["updates"] = updates()
    seen["mails_by_the_right_to_one_sender"] = mails_by_the_right_to_one_sender()
    seen["mails_to_one_address"] = mails_to_one_address()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
