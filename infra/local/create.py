"""Creates a stack from a SAM template, in a fraction of the time that `sam deploy` takes.

`create.py TEMPLATE BINARIES ARCHIVES STACK NAME=VALUE…` does what `sam deploy`
does in the end: it packs the functions from `BINARIES/<function>`, uploads them,
and creates the stack STACK with these parameters. The stack must not exist yet.
"""

import json
import pathlib
import sys
import time

import boto3
import yaml
from prepare import Template, pack, serverless_functions

# Creating the stack usually takes a second.
TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.05


def upload(
    document: dict, binaries: pathlib.Path, archives: pathlib.Path, bucket: str
) -> str:
    """Uploads the code of each function, and sets its `CodeUri`; then uploads the
    template, which can be too long for a call, and returns its URL."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    for name, properties in serverless_functions(document).items():
        archive = archives / f"{name}.zip"
        pack(binaries / name, archive)
        # As with `sam deploy`, other code gets another name.
        key = f"{name}-{archive.stat().st_mtime_ns}.zip"
        s3.put_object(Bucket=bucket, Key=key, Body=archive.read_bytes())
        properties["CodeUri"] = f"s3://{bucket}/{key}"
    s3.put_object(Bucket=bucket, Key="template.json", Body=json.dumps(document).encode())
    return f"https://s3.amazonaws.com/{bucket}/template.json"


def create(name: str, template_url: str, parameters: dict) -> None:
    """Creates the stack, and waits until it is complete."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=template_url,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + TIMEOUT_SECONDS
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
    sys.exit(f"the stack {name} was not complete after {TIMEOUT_SECONDS} s")


def main() -> None:
    template, binaries, archives, name, *parameters = sys.argv[1:]
    document = yaml.load(pathlib.Path(template).read_text(), Loader=Template)
    bucket = f"{name}-code"
    url = upload(document, pathlib.Path(binaries), pathlib.Path(archives), bucket)
    create(name, url, dict(parameter.split("=", 1) for parameter in parameters))


if __name__ == "__main__":
    main()
