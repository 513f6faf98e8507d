#!/usr/bin/env python3
"""Puts existing tables into a stack, by CloudFormation's resource import.

- The stack exists: tables restored from a backup take the place of its own. The
  functions then use the restored tables; the former ones are kept outside the stack.
- The stack was deleted: a new one begins with the tables that were kept.

Deploy as usual afterwards. It sets what a restored table lacks: time to live,
point-in-time recovery and protection.

    pip install boto3
    python3 infra/adopt.py --stack curfew --dry-run Accounts=NAME Devices=NAME …
    python3 infra/adopt.py --stack curfew Accounts=NAME Devices=NAME …
"""

import argparse
import json
import re
import sys
import time
from typing import Any

import boto3
from botocore.exceptions import ClientError

# The largest template that a call can hold. A larger one goes through S3.
MAX_BODY_BYTES = 51_200
# The stack of the bucket to which `sam deploy` uploads.
SAM_STACK = "aws-sam-cli-managed-default"
CAPABILITIES = ["CAPABILITY_IAM"]
# The stack's own policy forbids the removal of a table.
ALLOW_ALL = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}]}
)


class Adoption:
    def __init__(self, stack: str, tables: dict[str, str], dry_run: bool) -> None:
        self.cloudformation = boto3.client("cloudformation")
        self.dynamodb = boto3.client("dynamodb")
        self.stack, self.dry_run = stack, dry_run
        self.tables = {name: self.described(table) for name, table in tables.items()}

    def run(self) -> None:
        found = self.existing()
        template = self.template() if found else {"Resources": {}}
        if found:
            for name, table in self.tables.items():
                self.compare(name, table, template["Resources"].get(name))
        for name, table in self.tables.items():
            what = "take the place of its own" if found else "begin the stack"
            print(f"{self.stack}: {name} will be {table['TableName']} and {what}")
        if self.dry_run:
            return
        parameters = found.get("Parameters", []) if found else []
        options = {
            "Capabilities": CAPABILITIES,
            "Parameters": [
                {"ParameterKey": one["ParameterKey"], "UsePreviousValue": True}
                for one in parameters
            ],
        }
        if found:
            for name in self.tables:
                self.enable_stream(name, template["Resources"][name])
            template = self.detached(template)
            self.update(template, options)
        self.adopt(template, options)
        print("done; now deploy as usual")

    def existing(self) -> dict[str, Any] | None:
        try:
            return self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def template(self) -> dict[str, Any]:
        """Returns the stack's template, with what SAM has made of it."""
        body = self.cloudformation.get_template(
            StackName=self.stack, TemplateStage="Processed"
        )["TemplateBody"]
        return json.loads(body) if isinstance(body, str) else body

    def described(self, table: str) -> dict[str, Any]:
        return self.dynamodb.describe_table(TableName=table)["Table"]

    def compare(self, name: str, table: dict[str, Any], resource: dict[str, Any] | None) -> None:
        """Fails unless the table has the keys and indexes of the template's."""
        if not resource or resource["Type"] != "AWS::DynamoDB::Table":
            sys.exit(f"the stack has no table {name}")
        wanted = resource["Properties"]
        for part in ("KeySchema", "LocalSecondaryIndexes"):
            if self.definition(table).get(part) != wanted.get(part):
                sys.exit(f"{table['TableName']} has another {part} than {name}")

    @staticmethod
    def definition(table: dict[str, Any]) -> dict[str, Any]:
        """Returns the properties of a table as it is, without its name: a name in the
        template would make the next deployment replace the table."""
        properties = {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": table["AttributeDefinitions"],
            "KeySchema": table["KeySchema"],
        }
        if table.get("LocalSecondaryIndexes"):
            members = ("IndexName", "KeySchema", "Projection")
            properties["LocalSecondaryIndexes"] = [
                {member: index[member] for member in members}
                for index in table["LocalSecondaryIndexes"]
            ]
        stream = table.get("StreamSpecification")
        if stream and stream.get("StreamEnabled"):
            view = stream["StreamViewType"]
            properties["StreamSpecification"] = {"StreamViewType": view}
        return properties

    def enable_stream(self, name: str, resource: dict[str, Any]) -> None:
        """Enables the stream that the template wants. A restored table has none."""
        wanted = resource["Properties"].get("StreamSpecification")
        table = self.tables[name]["TableName"]
        if wanted and not self.tables[name].get("LatestStreamArn"):
            self.dynamodb.update_table(
                TableName=table, StreamSpecification={"StreamEnabled": True, **wanted}
            )
        while (described := self.described(table))["TableStatus"] != "ACTIVE":
            time.sleep(1)
        self.tables[name] = described

    def detached(self, template: dict[str, Any]) -> dict[str, Any]:
        """Returns the template without the tables, and with the names of the new ones in
        place of what refers to them."""
        resources = template["Resources"].items()
        rest = {name: one for name, one in resources if name not in self.tables}
        return self.replaced({**template, "Resources": rest})

    def replaced(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.replaced(one) for one in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"} and value["Ref"] in self.tables:
            return self.attribute(value["Ref"])
        if set(value) == {"Fn::GetAtt"}:
            target = value["Fn::GetAtt"]
            name, attribute = target.split(".", 1) if isinstance(target, str) else target
            if name in self.tables:
                return self.attribute(name, attribute)
        if set(value) == {"Fn::Sub"}:
            return {"Fn::Sub": self.substituted(value["Fn::Sub"])}
        items = {key: self.replaced(one) for key, one in value.items()}
        if "DependsOn" in items:
            on = items["DependsOn"]
            on = [on] if isinstance(on, str) else on
            items["DependsOn"] = [name for name in on if name not in self.tables]
        return items

    def substituted(self, argument: Any) -> Any:
        if isinstance(argument, list):
            text, variables = argument
            return [self.substituted(text), self.replaced(variables)]

        def value(match: re.Match) -> str:
            name, _, attribute = match[1].partition(".")
            return self.attribute(name, attribute) if name in self.tables else match[0]

        return re.sub(r"\$\{([^!}]+)\}", value, argument)

    def attribute(self, name: str, attribute: str = "") -> str:
        table = self.tables[name]
        known = {
            "": table["TableName"],
            "Arn": table["TableArn"],
            "StreamArn": table.get("LatestStreamArn"),
        }
        return known[attribute]

    def update(self, template: dict[str, Any], options: dict[str, Any]) -> None:
        """Points the stack to the new tables. Its own stay, by their deletion policy."""
        print(f"{self.stack}: pointing it to the new tables")
        self.cloudformation.update_stack(
            StackName=self.stack,
            StackPolicyDuringUpdateBody=ALLOW_ALL,
            **self.body(template),
            **options,
        )
        self.wait("stack_update_complete", StackName=self.stack)

    def adopt(self, template: dict[str, Any], options: dict[str, Any]) -> None:
        """Imports the tables. An import may change nothing else."""
        print(f"{self.stack}: importing the tables")
        imported = {
            name: {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": self.definition(table),
            }
            for name, table in self.tables.items()
        }
        template = {**template, "Resources": {**template["Resources"], **imported}}
        change_set = f"adopt-{int(time.time())}"
        self.cloudformation.create_change_set(
            StackName=self.stack,
            ChangeSetName=change_set,
            ChangeSetType="IMPORT",
            ResourcesToImport=[
                {
                    "ResourceType": "AWS::DynamoDB::Table",
                    "LogicalResourceId": name,
                    "ResourceIdentifier": {"TableName": table["TableName"]},
                }
                for name, table in self.tables.items()
            ],
            **self.body(template),
            **options,
        )
        names = {"StackName": self.stack, "ChangeSetName": change_set}
        self.wait("change_set_create_complete", **names)
        self.cloudformation.execute_change_set(**names)
        self.wait("stack_import_complete", StackName=self.stack)

    def wait(self, waiter: str, **names: str) -> None:
        config = {"Delay": 2, "MaxAttempts": 900}
        self.cloudformation.get_waiter(waiter).wait(WaiterConfig=config, **names)

    def body(self, template: dict[str, Any]) -> dict[str, str]:
        body = json.dumps(template, separators=(",", ":"))
        if len(body.encode()) <= MAX_BODY_BYTES:
            return {"TemplateBody": body}
        outputs = self.cloudformation.describe_stacks(StackName=SAM_STACK)["Stacks"][0]["Outputs"]
        bucket = next(one["OutputValue"] for one in outputs if one["OutputKey"] == "SourceBucket")
        s3, key = boto3.client("s3"), f"{self.stack}/adopt-{int(time.time())}.template"
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
        return {"TemplateURL": f"https://s3.{s3.meta.region_name}.amazonaws.com/{bucket}/{key}"}


def pair(text: str) -> tuple[str, str]:
    name, separator, table = text.partition("=")
    if not (name and separator and table):
        raise argparse.ArgumentTypeError(f"{text} is not LOGICAL_ID=TABLE_NAME")
    return name, table


def main() -> None:
    parser = argparse.ArgumentParser(description="Puts existing tables into a stack.")
    parser.add_argument("--stack", required=True, help="the name of the stack")
    parser.add_argument("--dry-run", action="store_true", help="only check, and change nothing")
    parser.add_argument("tables", nargs="+", type=pair, metavar="LOGICAL_ID=TABLE_NAME")
    arguments = parser.parse_args()
    Adoption(arguments.stack, dict(arguments.tables), arguments.dry_run).run()


if __name__ == "__main__":
    main()
