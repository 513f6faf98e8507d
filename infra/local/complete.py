"""Applies what the local AWS ignores of a deployed template.

`complete.py STACK` reads the processed template of the stack. With ordinary API
calls it creates or sets what the emulator has left out: the routes,
integrations, authorizers and IAM guards in the OpenAPI body of an HTTP API, the
throttles of stages (for reading back only: it does not throttle), the time to live
of tables, and the reserved concurrency of functions. It reads each
of them back, and fails if one differs. Then it prints one JSON document that
describes the stack.
"""

import json
import re
import sys

import boto3

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
ANY_METHOD = "x-amazon-apigateway-any-method"


class Stack:
    """A deployed stack, with the values that its template refers to."""

    def __init__(self, name: str) -> None:
        cloudformation = boto3.client("cloudformation")
        self.region = cloudformation.meta.region_name
        self.account = boto3.client("sts").get_caller_identity()["Account"]
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {
            output["OutputKey"]: output["OutputValue"]
            for output in described.get("Outputs", [])
        }
        self.parameters = {
            parameter["ParameterKey"]: parameter["ParameterValue"]
            for parameter in described.get("Parameters", [])
        }
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        summaries = [one for page in pages for one in page["StackResourceSummaries"]]
        self.physical_ids = {
            one["LogicalResourceId"]: one["PhysicalResourceId"] for one in summaries
        }
        template = cloudformation.get_template(StackName=name, TemplateStage="Processed")
        body = template["TemplateBody"]
        self.template = json.loads(body) if isinstance(body, str) else body
        self.pseudo = {
            "AWS::AccountId": self.account,
            "AWS::NoValue": None,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": described["StackId"],
            "AWS::StackName": name,
            "AWS::URLSuffix": "amazonaws.com",
        }

    def resources(self, kind: str, wanted: str):
        """Yields each existing resource of a type: its logical id, its physical id
        and one of its properties."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] == kind and name in self.physical_ids:
                yield name, self.physical_ids[name], self.property(name, wanted)

    def property(self, name: str, wanted: str):
        """Returns a property of a resource with every reference resolved, or None if
        the template does not set it."""
        resource = self.template["Resources"][name]
        return self.resolved(resource.get("Properties", {}).get(wanted))

    def resolved(self, value):
        """Returns the value with CloudFormation's intrinsic functions evaluated, as
        far as the ignored parts of the templates use them."""
        if isinstance(value, list):
            items = [self.resolved(item) for item in value]
            return [item for item in items if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), = value.items()
            if function == "Ref":
                return self.reference(argument)
            if function == "Fn::GetAtt":
                name, attribute = (
                    argument.split(".", 1) if isinstance(argument, str) else argument
                )
                return self.attribute(name, attribute)
            if function == "Fn::Sub":
                return self.substituted(argument)
            if function == "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self.resolved(parts)))
            if function == "Fn::If":
                condition, then, otherwise = argument
                return self.resolved(then if self.holds(condition) else otherwise)
            if function.startswith("Fn::"):
                sys.exit(f"{function} is not supported by complete.py")
        items = {key: self.resolved(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None}

    def reference(self, name: str):
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.physical_ids[name]

    def attribute(self, name: str, attribute: str) -> str:
        kind = self.template["Resources"][name]["Type"]
        physical_id = self.physical_ids[name]
        if attribute == "Arn" and kind == "AWS::Lambda::Function":
            return f"arn:aws:lambda:{self.region}:{self.account}:function:{physical_id}"
        if attribute == "Arn" and kind == "AWS::IAM::Role":
            return f"arn:aws:iam::{self.account}:role/{physical_id}"
        sys.exit(f"{attribute} of {name} ({kind}) is not supported by complete.py")

    def substituted(self, argument) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def value(match: re.Match) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in variables:
                return str(self.resolved(variables[name]))
            if "." in name:
                return self.attribute(*name.split(".", 1))
            return str(self.reference(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def holds(self, condition) -> bool:
        """Returns whether a condition of the template, or a part of one, is true."""
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        (function, argument), = condition.items()
        if function == "Condition":
            return self.holds(argument)
        if function == "Fn::Equals":
            first, second = (self.resolved(one) for one in argument)
            return str(first) == str(second)
        if function == "Fn::Not":
            return not self.holds(argument[0])
        if function == "Fn::And":
            return all(self.holds(one) for one in argument)
        if function == "Fn::Or":
            return any(self.holds(one) for one in argument)
        sys.exit(f"{function} is not supported by complete.py")


def create_guards(gateway, api_id: str, body: dict) -> dict[str, dict]:
    """Creates the authorizers of an OpenAPI body. Returns the settings of a route
    that uses each security scheme."""
    guards: dict[str, dict] = {}
    for name, scheme in body.get("components", {}).get("securitySchemes", {}).items():
        if "x-amazon-apigateway-authorizer" in scheme:
            authorizer = gateway.create_authorizer(
                ApiId=api_id,
                Name=name,
                **authorizer_settings(scheme["x-amazon-apigateway-authorizer"]),
            )["AuthorizerId"]
            guards[name] = {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer}
        elif scheme.get("x-amazon-apigateway-authtype") == "awsSigv4":
            guards[name] = {"AuthorizationType": "AWS_IAM"}
        else:
            sys.exit(f"the security scheme {name} is not supported by complete.py")
    return guards


def complete_http_api(api_id: str, body: dict) -> dict:
    """Creates the routes of an OpenAPI body, with their integrations and guards.
    Returns the name of each route's function."""
    gateway = boto3.client("apigatewayv2")
    guards = create_guards(gateway, api_id, body)
    integrations: dict[str, str] = {}
    wanted = {}
    functions = {}
    for path, operations in body.get("paths", {}).items():
        for method, operation in operations.items():
            if method not in (*METHODS, ANY_METHOD):
                continue
            integration = operation["x-amazon-apigateway-integration"]
            kind = json.dumps(integration, sort_keys=True)
            if kind not in integrations:
                integrations[kind] = gateway.create_integration(
                    ApiId=api_id, **integration_settings(integration)
                )["IntegrationId"]
            security = operation.get("security", body.get("security", []))
            # SAM writes NONE for a route without a scheme.
            names = [name for one in security for name in one if name != "NONE"]
            key = route_key(path, method, operation)
            wanted[key] = {
                "Target": f"integrations/{integrations[kind]}",
                **(guards[names[0]] if names else {"AuthorizationType": "NONE"}),
            }
            functions[key] = re.search(":function:([^:/]+)", integration["uri"])[1]
    for key, settings in wanted.items():
        gateway.create_route(ApiId=api_id, RouteKey=key, **settings)

    routes = gateway.get_routes(ApiId=api_id, MaxResults="500")["Items"]
    kept = ("Target", "AuthorizationType", "AuthorizerId")
    found = {
        route["RouteKey"]: {name: route[name] for name in kept if route.get(name)}
        for route in routes
    }
    expect(f"routes of the API {api_id}", found, wanted)
    return functions


def route_key(path: str, method: str, operation: dict) -> str:
    if path in ("$default", "/$default") or operation.get("isDefaultRoute"):
        return "$default"
    return f"{'ANY' if method == ANY_METHOD else method.upper()} {path}"


def integration_settings(integration: dict) -> dict:
    settings = {
        "IntegrationType": integration["type"].upper(),
        "IntegrationUri": integration["uri"],
        "IntegrationMethod": integration.get("httpMethod", "POST"),
        "PayloadFormatVersion": str(integration.get("payloadFormatVersion", "1.0")),
    }
    if "timeoutInMillis" in integration:
        settings["TimeoutInMillis"] = int(integration["timeoutInMillis"])
    return settings


def authorizer_settings(authorizer: dict) -> dict:
    sources = authorizer.get("identitySource", [])
    settings = {
        "AuthorizerType": authorizer["type"].upper(),
        "AuthorizerUri": authorizer["authorizerUri"],
        "AuthorizerPayloadFormatVersion": str(
            authorizer.get("authorizerPayloadFormatVersion", "2.0")
        ),
        "EnableSimpleResponses": bool(authorizer.get("enableSimpleResponses", False)),
        "AuthorizerResultTtlInSeconds": int(
            authorizer.get("authorizerResultTtlInSeconds", 0)
        ),
        "IdentitySource": (
            [source.strip() for source in sources.split(",")]
            if isinstance(sources, str)
            else sources
        ),
    }
    if "authorizerCredentials" in authorizer:
        settings["AuthorizerCredentialsArn"] = authorizer["authorizerCredentials"]
    return settings


def complete_table(name: str, wanted: dict) -> None:
    dynamodb = boto3.client("dynamodb")
    described = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if described["TimeToLiveStatus"] != "ENABLED":
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={
                "AttributeName": wanted["AttributeName"],
                "Enabled": True,
            },
        )
        described = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    expect(
        f"time to live of {name}",
        (described["TimeToLiveStatus"], described.get("AttributeName")),
        ("ENABLED", wanted["AttributeName"]),
    )


def complete_function(name: str, wanted: str | int) -> None:
    functions = boto3.client("lambda")
    functions.put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=int(wanted)
    )
    found = functions.get_function_concurrency(FunctionName=name)
    expect(
        f"reserved concurrency of {name}",
        found.get("ReservedConcurrentExecutions"),
        int(wanted),
    )


def complete_stage(api_id: str, name: str, **wanted: dict) -> None:
    """Sets the throttles of a stage, which the emulator stores unreadably."""
    gateway = boto3.client("apigatewayv2")
    limits = {
        "DefaultRouteSettings": throttle(wanted["default"]),
        "RouteSettings": {key: throttle(route) for key, route in wanted["routes"].items()},
    }
    gateway.update_stage(ApiId=api_id, StageName=name, **limits)
    stage = gateway.get_stage(ApiId=api_id, StageName=name)
    found = {setting: stage.get(setting, {}) for setting in limits}
    expect(f"throttles of the API {api_id}", found, limits)


def throttle(settings: dict) -> dict:
    return {
        "ThrottlingRateLimit": float(settings["ThrottlingRateLimit"]),
        "ThrottlingBurstLimit": int(settings["ThrottlingBurstLimit"]),
    }


def expect(what: str, found: object, wanted: object) -> None:
    """Fails if the local AWS differs from the template."""
    if found != wanted:
        sys.exit(f"{what}: the local AWS has {found}, the template has {wanted}")


def describe_api(api_id: str) -> dict:
    """Returns the id, the protocol and the stage of an API."""
    gateway = boto3.client("apigatewayv2")
    stages = [stage["StageName"] for stage in gateway.get_stages(ApiId=api_id)["Items"]]
    if len(stages) != 1:
        sys.exit(f"the API {api_id} has {len(stages)} stages instead of one")
    found = gateway.get_api(ApiId=api_id)
    return {"id": api_id, "protocol": found["ProtocolType"], "stage": stages[0]}


def describe_function(name: str) -> dict:
    """Returns the name, the role and the environment of a function."""
    found = boto3.client("lambda").get_function_configuration(FunctionName=name)
    return {
        "function_name": name,
        "role_arn": found["Role"],
        "environment": found.get("Environment", {}).get("Variables", {}),
    }


def main() -> None:
    stack = Stack(sys.argv[1])
    apis: dict = {}
    routes: dict = {}
    for name, api_id, body in stack.resources("AWS::ApiGatewayV2::Api", "Body"):
        if body:
            routes |= complete_http_api(api_id, body)
        apis[name] = describe_api(api_id)
    for name, _, default in stack.resources("AWS::ApiGatewayV2::Stage", "DefaultRouteSettings"):
        if default:
            api_id, stage_name = (stack.property(name, it) for it in ("ApiId", "StageName"))
            settings = stack.property(name, "RouteSettings") or {}
            complete_stage(api_id, stage_name, default=default, routes=settings)
    for _, table, wanted in stack.resources(
        "AWS::DynamoDB::Table", "TimeToLiveSpecification"
    ):
        if wanted:
            complete_table(table, wanted)
    functions = {}
    for name, function, wanted in stack.resources(
        "AWS::Lambda::Function", "ReservedConcurrentExecutions"
    ):
        if wanted is not None:
            complete_function(function, wanted)
        functions[name] = describe_function(function)
    logical_ids = {name: logical_id for logical_id, name in stack.physical_ids.items()}
    description = {
        "apis": apis,
        "functions": functions,
        "outputs": stack.outputs,
        "resources": stack.physical_ids,
        "routes": {key: logical_ids[name] for key, name in routes.items()},
    }
    json.dump(description, sys.stdout)


if __name__ == "__main__":
    main()
