"""Creates a stack from a small SAM template, in a second instead of eight.

`create.py TEMPLATE BUILT STACK NAME=VALUE…` does by itself what `sam deploy`
does in the end: it uploads the code of the functions, which lies in
`BUILT/<function>/`, and creates the stack STACK with these parameters. There is
no stack of that name yet: the local AWS begins empty.
"""

import json
import pathlib
import sys
import time

import boto3
import yaml
from prepare import Template, pack

# How long it may take. Usually it takes a second.
PATIENCE_SECONDS = 60
POLL_SECONDS = 0.05


def upload(document: dict, built: pathlib.Path, bucket: str) -> None:
    """Puts the code of each function where its stack will look for it."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    for name, resource in document["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = resource["Properties"]
        folder = pathlib.Path(properties["CodeUri"]).name
        bootstrap = built / folder / "bootstrap"
        if not bootstrap.is_file():
            sys.exit(f"{name}: there is no {bootstrap}")
        archive = pack(bootstrap)
        # Another name for other code, as `sam deploy` gives it.
        key = f"{folder}-{archive.stat().st_mtime_ns}.zip"
        s3.put_object(Bucket=bucket, Key=key, Body=archive.read_bytes())
        properties["CodeUri"] = f"s3://{bucket}/{key}"


def create(name: str, document: dict, parameters: dict) -> None:
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(document),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        status = stack["StackStatus"]
        if status == "CREATE_COMPLETE":
            return
        if status != "CREATE_IN_PROGRESS":
            events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [
                f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
                for event in events
                if event.get("ResourceStatusReason")
            ]
            sys.exit("\n".join([f"the stack {name} is {status}", *reasons]))
        time.sleep(POLL_SECONDS)
    sys.exit(f"the stack {name} is not made in {PATIENCE_SECONDS} s")


def main() -> None:
    template, built, name, *parameters = sys.argv[1:]
    document = yaml.load(pathlib.Path(template).read_text(), Loader=Template)
    upload(document, pathlib.Path(built), f"{name}-code")
    create(name, document, dict(parameter.split("=", 1) for parameter in parameters))


if __name__ == "__main__":
    main()
