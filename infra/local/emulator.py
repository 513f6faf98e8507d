"""Starts the local AWS (ministack), and corrects what it does differently.

`emulator.py --logs DIRECTORY --temporary DIRECTORY [--without NAME]…` listens
on a free port of 127.0.0.1, enforces IAM, and prints one line of JSON when it
is ready: `{"port": …}`.

Each correction below is for the version that `requirements/aws.txt` pins. It can
be left out by its name, and has a test that fails when it is no longer needed
(`tests/tests/suite/emulator.rs`).
"""

import argparse
import asyncio
import contextlib
import contextvars
import gc
import json
import logging
import os
import re
import resource
import socket
import socketserver
import sys
import threading

# The headers in which the proxy sends the client's address and the host that the
# client has sent. It replaces a client's own. The names are those of
# infra/local/src/proxy/headers.rs.
CLIENT_ADDRESS_HEADER = b"x-curfew-client-address"
CLIENT_HOST_HEADER = b"x-curfew-client-host"

client_address: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "client_address", default=None
)
client_host: contextvars.ContextVar[bytes | None] = contextvars.ContextVar(
    "client_host", default=None
)

# The index of the event's type in the arguments of `_invoke_ws_lambda`.
EVENT_TYPE = 6

# Functions of the corrections that change the headers of every request.
rewrite_headers: list = []


def answer_without_delay() -> None:
    """A warm call takes 50 ms, most of it Nagle's algorithm: the runtime API
    writes an answer in two pieces."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def fail_partly_failed_stream_batches() -> None:
    """A stream batch with some failed records counts as a success, and those
    records are lost. Fail the batch, so that it is retried."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function

    def execute_or_fail(function: dict, event: dict, *rest: object, **more: object) -> dict:
        result = execute(function, event, *rest, **more)
        records = event.get("Records") if isinstance(event, dict) else None
        if not records or records[0].get("eventSource") != "aws:dynamodb":
            return result
        body = result.get("body")
        if result.get("error") or not isinstance(body, dict):
            return result
        failures = body.get("batchItemFailures")
        if not failures:
            return result
        message = f"{len(failures)} of {len(records)} records failed"
        return {
            **result,
            "error": True,
            "body": {"errorType": "PartlyFailedBatch", "errorMessage": message},
        }

    lambda_svc._execute_function = execute_or_fail


def use_the_clients_address() -> None:
    """The source address of every request and of every socket is 127.0.0.1. Use
    the address that the proxy sends."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_with_config_scope

    def execute_for_client(function: dict, event: dict, *rest: object, **more: object) -> dict:
        address = client_address.get()
        if address and isinstance(event, dict):
            context = event.get("requestContext") or {}
            # The context of a request has `http`, that of a socket `identity`.
            for place in ("http", "identity"):
                if context.get(place):
                    context[place]["sourceIp"] = address
        return execute(function, event, *rest, **more)

    def take_address(headers: list) -> list:
        for name, value in headers:
            if name == CLIENT_ADDRESS_HEADER:
                client_address.set(value.decode("latin-1"))
        return [one for one in headers if one[0] != CLIENT_ADDRESS_HEADER]

    lambda_svc._execute_function_with_config_scope = execute_for_client
    rewrite_headers.append(take_address)


def count_as_secure() -> None:
    """Policies that require TLS (`aws:SecureTransport`) would deny every request.
    No request leaves this machine, so each counts as one over TLS."""
    name, value = b"x-forwarded-proto", b"https"
    rewrite_headers.append(
        lambda headers: [*(one for one in headers if one[0] != name), (name, value)]
    )


def read_concurrency_as_a_number() -> None:
    """The value of a template's parameter is a text. The poller of a queue compares
    `MaximumConcurrency` with a number, and would deliver nothing."""
    from ministack.services import lambda_svc

    concurrency = lambda_svc._sqs_esm_concurrency

    def concurrency_of(mapping: dict, *rest: object) -> int:
        scaling = mapping.get("ScalingConfig") or {}
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        return concurrency(mapping, *rest)

    lambda_svc._sqs_esm_concurrency = concurrency_of


def permit_a_batch_as_its_parts() -> None:
    """A batch call requires a permission of its own name, which IAM does not have:
    `sns:Publish` covers `PublishBatch`. The same is true of SQS."""
    from ministack.core import iam_actions

    needed = {
        "sns:PublishBatch": "sns:Publish",
        "sqs:SendMessageBatch": "sqs:SendMessage",
        "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    }
    extract = iam_actions.extract_iam_action

    def extract_needed(*request: object) -> str | None:
        action = extract(*request)
        return needed.get(action, action)

    iam_actions.extract_iam_action = extract_needed


def name_the_attributes_of_writes() -> None:
    """`dynamodb:Attributes` has the names of a projection only. It also has those in
    the key, the item and the expressions of a write, for each part of a transaction."""
    from ministack.core import iam_actions, iam_evaluator

    context_of = iam_actions.dynamodb_service_context
    checks_of = iam_actions.dynamodb_transaction_checks
    enforce = iam_evaluator.enforce
    # The first segment of a path, and no value or function.
    name = re.compile(r"(?<![:.#\w])#?\w+\b(?!\s*\()")
    keywords = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"}

    def named(request: dict) -> list:
        aliases = request.get("ExpressionAttributeNames") or {}
        expressions = [request.get(part) or "" for part in ("UpdateExpression", "ConditionExpression")]
        found = name.findall(" ".join(expressions))
        names = [aliases.get(one, one) for one in found if one.upper() not in keywords]
        parts = [request.get(part) or {} for part in ("Key", "Item", "AttributeUpdates", "Expected")]
        return [*names, *(one for part in parts for one in part)]

    def context_with_names(body: bytes) -> dict:
        context = context_of(body)
        names = [*context.get("dynamodb:Attributes", []), *(named(json.loads(body)) if context else [])]
        return {**context, "dynamodb:Attributes": names} if names else context

    class ActionOnItem(str):
        attributes: list

    def checks_with_names(action: str, body: bytes, *rest: object) -> list:
        checks = []
        for item in json.loads(body)["TransactItems"] if checks_of(action, body, *rest) else []:
            for checked, table in checks_of(action, json.dumps({"TransactItems": [item]}), *rest):
                on_item = ActionOnItem(checked)
                on_item.attributes = [one for part in item.values() for one in named(part)]
                checks.append((on_item, table))
        return checks

    def enforce_on_item(key: str, action: str, *rest: object, **more: object) -> object:
        if isinstance(action, ActionOnItem):
            context = {**more["service_context"], "dynamodb:Attributes": action.attributes}
            more["service_context"] = context
        return enforce(key, action, *rest, **more)

    iam_actions.dynamodb_service_context = context_with_names
    iam_actions.dynamodb_transaction_checks = checks_with_names
    iam_evaluator.enforce = enforce_on_item


def permit_mails_by_their_sender() -> None:
    """`ses:SendEmail` is judged on `*`, and `ses:FromAddress` is unknown. Judge it on
    the identity of the sender's address."""
    from ministack import app
    from ministack.core.responses import get_account_id

    enforce = app._enforce_ses_v2

    def enforce_sender(method, path, headers, body, query_params, request_id):
        if (method, path.rstrip("/")) != ("POST", "/v2/email/outbound-emails"):
            return enforce(method, path, headers, body, query_params, request_id)
        sender = json.loads(body).get("FromEmailAddress", "")
        address = sender.rpartition("<")[2].rstrip("> ")
        region = app.extract_region(headers, query_params)
        return app._enforce_data_plane(
            "sesv2",
            "ses:SendEmail",
            headers,
            query_params,
            request_id,
            resource_arn=f"arn:aws:ses:{region}:{get_account_id()}:identity/{address}",
            service_context={"ses:FromAddress": address},
        )

    app._enforce_ses_v2 = enforce_sender


def show_the_mails_to_one_address() -> None:
    """The mails are shown all at once, each time more of them. Show those to one
    address with `?to=`: the tests look for theirs several times a second."""
    from ministack import app
    from ministack.services import ses

    show = app._handle_ses_messages_request
    shown = ("Source", "To", "Subject", "BodyText", "BodyHtml")

    async def show_one(method: str, path: str, headers: dict, query_params: dict):
        address = query_params.get("to", [""])[0]
        if path != "/_ministack/ses/messages" or not address:
            return await show(method, path, headers, query_params)
        # The last part of each key names what is kept.
        kept = [value for key, value in ses._sent_emails.to_dict().items() if key[-1] == "entries"]
        mails = [mail for mails in kept for mail in mails if address in mail["To"]]
        mails = [{name: mail[name] for name in shown} for mail in mails]
        body = json.dumps({"messages": {"": mails}}).encode()
        return 200, {"Content-Type": "application/json"}, body

    app._handle_ses_messages_request = show_one


def hand_preflights_to_the_routes() -> None:
    """An OPTIONS request gets a 403 if the API has no CORS settings. The real
    gateway then uses the routes, such as `$default`."""
    from ministack.services import apigateway, lambda_svc

    handle = apigateway._handle_execute_in_scope
    execute = lambda_svc._execute_function_with_config_scope

    async def handle_by_route(
        api_id: str, stage: str, path: str, method: str, *rest: object, **more: object
    ):
        api = apigateway._apis.get(api_id) or {}
        if method == "OPTIONS" and not api.get("corsConfiguration"):
            # The emulator compares with the upper-case name.
            method = "options"
        return await handle(api_id, stage, path, method, *rest, **more)

    def execute_as_sent(function: dict, event: dict, *rest: object, **more: object) -> dict:
        context = event.get("requestContext") if isinstance(event, dict) else None
        http = (context or {}).get("http") or {}
        if http.get("method") == "options":
            http["method"] = "OPTIONS"
        return execute(function, event, *rest, **more)

    apigateway._handle_execute_in_scope = handle_by_route
    lambda_svc._execute_function_with_config_scope = execute_as_sent


def verify_signatures_as_sent() -> None:
    """A signature covers the host and the path that the client has sent, and the
    proxy changes both. Verify it against the original ones."""
    from ministack import app

    pin = app.pin_signed_request
    gateway = re.compile("/_aws/execute-api/[^/]+/[^/]+")

    def pin_as_sent(
        method: str, raw_path: str, query: dict, headers: list, **more: object
    ) -> None:
        host = client_host.get()
        if host is not None:
            raw_path = gateway.sub("", raw_path, count=1)
            headers = [*(one for one in headers if one[0] != b"host"), (b"host", host)]
        pin(method, raw_path, query, headers, **more)

    def take_host(headers: list) -> list:
        for name, value in headers:
            if name == CLIENT_HOST_HEADER:
                client_host.set(value)
        return [one for one in headers if one[0] != CLIENT_HOST_HEADER]

    app.pin_signed_request = pin_as_sent
    rewrite_headers.append(take_host)


def correct_handshakes(correct) -> None:
    """Replaces the first message to a socket's client by the messages that
    `correct(scope, answer, message)` returns. `answer` is what the function has
    returned for the handshake."""
    from ministack.services import apigateway

    handle = apigateway.handle_websocket
    invoke = apigateway._invoke_ws_lambda
    answers: contextvars.ContextVar[dict] = contextvars.ContextVar("answers")

    async def handle_corrected(
        scope: dict, receive, send, *rest: object, **more: object
    ) -> None:
        answer: dict = {}
        answers.set(answer)
        connecting = True

        async def send_corrected(message: dict) -> None:
            nonlocal connecting
            messages = correct(scope, answer, message) if connecting else [message]
            connecting = False
            for one in messages:
                await send(one)

        await handle(scope, receive, send_corrected, *rest, **more)

    async def invoke_and_keep(*arguments: object, **more: object) -> dict | None:
        result = await invoke(*arguments, **more)
        if arguments[EVENT_TYPE] == "CONNECT":
            answers.get().update(result or {})
        return result

    apigateway.handle_websocket = handle_corrected
    apigateway._invoke_ws_lambda = invoke_and_keep


def accept_the_functions_subprotocol() -> None:
    """An accepted handshake names no subprotocol, which is a failure for browsers
    that have offered one. Name the subprotocol in the function's answer."""

    def with_subprotocol(scope: dict, answer: dict, message: dict) -> list:
        if message["type"] != "websocket.accept":
            return [message]
        headers = {
            name.lower(): value for name, value in (answer.get("headers") or {}).items()
        }
        named = headers.get("sec-websocket-protocol")
        if named not in scope.get("subprotocols", []):
            return [message]
        return [{**message, "subprotocol": named}]

    correct_handshakes(with_subprotocol)


def reject_with_the_functions_status() -> None:
    """A rejected handshake always gets a 403, also when the function has failed.
    Answer with the function's status."""

    def with_status(scope: dict, answer: dict, message: dict) -> list:
        if message["type"] != "websocket.close" or "statusCode" not in answer:
            return [message]
        start = {
            "type": "websocket.http.response.start",
            "status": int(answer["statusCode"]),
            "headers": [(b"content-length", b"0")],
        }
        return [start, {"type": "websocket.http.response.body", "body": b""}]

    correct_handshakes(with_status)


def send_no_answer_to_frames() -> None:
    """A function's answer to a frame is sent to the client, and so is its error.
    The real gateway sends no answer on a route without a route response, and a
    message of its own after an error."""
    from ministack.services import apigateway, lambda_svc

    invoke = apigateway._invoke_ws_lambda
    execute = lambda_svc._execute_function_with_config_scope
    outcomes: contextvars.ContextVar[dict] = contextvars.ContextVar("outcomes")

    def execute_and_record(*arguments: object, **more: object) -> dict:
        result = execute(*arguments, **more)
        outcome = outcomes.get(None)
        if outcome is not None:
            outcome["failed"] = bool(result.get("error") or result.get("throttle"))
        return result

    async def invoke_one_way(*arguments: object, **more: object) -> dict | None:
        api_id, _, _, route, _, connection_id, _, message_id, *_ = arguments
        outcome: dict = {}
        outcomes.set(outcome)
        result = await invoke(*arguments, **more)
        if arguments[EVENT_TYPE] != "MESSAGE" or result is None:
            return result
        if outcome.get("failed"):
            notice = {
                "message": "Internal server error",
                "connectionId": connection_id,
                "requestId": message_id,
            }
            return {**result, "body": notice}
        if apigateway._route_responses.get(api_id, {}).get(route.get("routeId")):
            return result
        return {**result, "body": None}

    lambda_svc._execute_function_with_config_scope = execute_and_record
    apigateway._invoke_ws_lambda = invoke_one_way


def pass_every_header_of_a_handshake() -> None:
    """A function receives only the last of several headers of one name in a
    handshake, in `multiValueHeaders` too. Pass each of them."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_with_config_scope
    sent: contextvars.ContextVar[list] = contextvars.ContextVar("sent", default=[])

    def execute_with_headers(
        function: dict, event: dict, *rest: object, **more: object
    ) -> dict:
        context = event.get("requestContext") if isinstance(event, dict) else None
        if (context or {}).get("eventType") == "CONNECT":
            headers: dict[str, list] = {}
            for name, value in sent.get():
                headers.setdefault(name.decode("latin-1"), []).append(
                    value.decode("latin-1")
                )
            event["multiValueHeaders"] = headers
        return execute(function, event, *rest, **more)

    def keep(headers: list) -> list:
        sent.set(headers)
        return headers

    lambda_svc._execute_function_with_config_scope = execute_with_headers
    rewrite_headers.append(keep)


def close_on_large_messages() -> None:
    """A socket accepts messages of 16 MB. The real gateway accepts 128 KB, and
    closes the socket (1009) on a larger one."""
    from hypercorn.config import Config

    Config.websocket_max_message_size = 128 * 1024


# The most processes of one function at once. More would only be slower.
PROCESSES_OF_A_FUNCTION = 4 * (os.cpu_count() or 1)


def let_calls_wait_for_a_process() -> None:
    """A call that finds no idle process always starts another one. A thousand
    sockets that close at once bring the machine to a standstill. Limit the
    processes of a function, and let its calls wait for one."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_provided_warm
    places: dict[str, threading.BoundedSemaphore] = {}
    guard = threading.Lock()

    def execute_in_turn(function: dict, event: dict, request_id: str) -> dict:
        name = (function.get("config") or function).get("FunctionName", "")
        with guard:
            place = places.setdefault(
                name, threading.BoundedSemaphore(PROCESSES_OF_A_FUNCTION)
            )
        with place:
            return execute(function, event, request_id)

    lambda_svc._execute_function_provided_warm = execute_in_turn


CORRECTIONS = {
    "nagle": answer_without_delay,
    "partial-batches": fail_partly_failed_stream_batches,
    "client-address": use_the_clients_address,
    "secure-transport": count_as_secure,
    "preflights": hand_preflights_to_the_routes,
    "batch-permissions": permit_a_batch_as_its_parts,
    "attributes": name_the_attributes_of_writes,
    "senders": permit_mails_by_their_sender,
    "one-mailbox": show_the_mails_to_one_address,
    "queue-concurrency": read_concurrency_as_a_number,
    "signatures": verify_signatures_as_sent,
    "subprotocols": accept_the_functions_subprotocol,
    "refusals": reject_with_the_functions_status,
    "one-way": send_no_answer_to_frames,
    # After the corrections that remove the proxy's headers.
    "every-header": pass_every_header_of_a_handshake,
    "message-size": close_on_large_messages,
    "processes": let_calls_wait_for_a_process,
}


def keep_logs(directory: str) -> None:
    """Writes the output of each function to `<function>.log`. The emulator keeps it
    in memory only."""
    from ministack.core.lambda_runtime import ProvidedWorker

    pump = ProvidedWorker._pump_output

    class Copied:
        """The output of a function, copied to its log as it is read."""

        def __init__(self, stream: object, log: object) -> None:
            self.stream = stream
            self.log = log

        def readline(self) -> bytes:
            line = self.stream.readline()
            if line:
                self.log.write(line)
            return line

        def close(self) -> None:
            self.stream.close()
            self.log.close()

    def pump_and_keep(worker: ProvidedWorker, stream: object, queue: object) -> None:
        path = os.path.join(directory, f"{log_name(worker.func_name)}.log")
        # Several processes of one function append to one file. Without a buffer,
        # each line is one write.
        pump(worker, Copied(stream, open(path, "ab", buffering=0)), queue)

    ProvidedWorker._pump_output = pump_and_keep


def log_name(function_name: str) -> str:
    """Returns the name of a function's folder: `sign-out-device` for
    `curfew-SignOutDevice-1A2B3C…`, the name that CloudFormation gives it."""
    named = re.fullmatch(r"[^-]+-([A-Za-z0-9]+)-[A-Za-z0-9]+", function_name)
    if not named:
        return function_name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", named[1]).lower()


def application():
    """Returns the emulator, with the rewriting of headers and the line that reports
    its port."""
    from ministack.app import app

    async def listen(scope: dict, receive, send) -> None:
        if scope["type"] == "lifespan":

            async def send_and_report(message: dict) -> None:
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    print(json.dumps({"port": int(os.environ["GATEWAY_PORT"])}), flush=True)

            await app(scope, receive, send_and_report)
            return
        headers = [(name.lower(), value) for name, value in scope.get("headers", [])]
        for rewrite in rewrite_headers:
            headers = rewrite(headers)
        await app({**scope, "headers": headers}, receive, send)

    return listen


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--logs", required=True)
    arguments.add_argument("--temporary", required=True)
    arguments.add_argument("--without", action="append", default=[], choices=CORRECTIONS)
    options = arguments.parse_args()

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    port = str(listener.getsockname()[1])

    # The emulator's modules read these while they are loaded.
    os.environ.update(
        AUTH="true",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=port,
        IOT_MTLS_ENABLED="0",
        # No limit: it would count waiting calls too, and a correction already
        # limits the processes.
        LAMBDA_ACCOUNT_CONCURRENCY="0",
        MINISTACK_HOST="localhost",
        SFTP_ENABLED="0",
        TMPDIR=options.temporary,
    )

    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    for name, correct in CORRECTIONS.items():
        if name not in options.without:
            correct()
    keep_logs(options.logs)

    # One line for each request would only make the log longer.
    logging.getLogger("hypercorn.access").setLevel(logging.WARNING)
    with contextlib.suppress(ValueError, OSError):
        # Each open request takes several files; macOS allows 256 by default.
        _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))

    # By default every 700 new objects start a collection, which was a seventh of the
    # processor time.
    gc.set_threshold(100_000, 20, 100)

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    asyncio.run(serve(application(), config))


if __name__ == "__main__":
    sys.exit(main())
