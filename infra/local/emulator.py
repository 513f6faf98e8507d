"""Starts the local AWS (ministack), with corrections where it falls short.

`emulator.py --logs DIRECTORY --temporary DIRECTORY [--without NAME]…` listens
on a free port of 127.0.0.1, enforces IAM, and writes one line of JSON to its
standard output once it answers: `{"port": …}`.

Each correction below is for the version pinned in `requirements/aws.txt`, can
be left out by its name, and has a test which fails once it is no longer
needed (`tests/tests/suite/emulator.rs`).
"""

import argparse
import asyncio
import contextlib
import contextvars
import json
import logging
import os
import re
import resource
import socket
import socketserver
import sys
import threading

# What our own front (and nobody else: it drops a client's copy) says of the
# client and of the host that it asked for. Must be the names in
# infra/local/src/front.rs.
CLIENT_ADDRESS_HEADER = b"x-curfew-client-address"
CLIENT_HOST_HEADER = b"x-curfew-client-host"

client_address: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "client_address", default=None
)
client_host: contextvars.ContextVar[bytes | None] = contextvars.ContextVar(
    "client_host", default=None
)

# Which argument of `_invoke_ws_lambda` says what has happened on a socket.
EVENT_TYPE = 6

# What corrections do to the headers of every request before the emulator
# sees them.
rewrite_headers: list = []


def answer_without_delay() -> None:
    """A warm call takes 50 ms, most of it Nagle's algorithm waiting: the
    runtime API writes an answer in two pieces."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def fail_partly_failed_stream_batches() -> None:
    """A stream batch of which some records failed counts as a success, and
    those records are lost. Fail the batch, so that it is tried again."""
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


def tell_the_clients_address() -> None:
    """The source address of every request and of every socket is 127.0.0.1. Put
    the one that our front tells in its place."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_with_config_scope

    def execute_for_client(function: dict, event: dict, *rest: object, **more: object) -> dict:
        address = client_address.get()
        if address and isinstance(event, dict):
            context = event.get("requestContext") or {}
            # A request has the one, a socket's event the other.
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
    """Policies that refuse whoever comes without TLS (`aws:SecureTransport`)
    would refuse everybody. Nothing leaves this machine, so every request
    counts as one that came by TLS; the gateway says so in the cloud too."""
    name, value = b"x-forwarded-proto", b"https"
    rewrite_headers.append(
        lambda headers: [*(one for one in headers if one[0] != name), (name, value)]
    )


def permit_a_batch_as_its_parts() -> None:
    """A call that takes a batch asks for a permission of its own name, which
    IAM does not have: `sns:Publish` covers `PublishBatch`, and so with SQS."""
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


def hand_preflights_to_the_routes() -> None:
    """An OPTIONS request is answered by 403 when the API has no CORS settings.
    The real gateway hands it on by the routes then, such as `$default`."""
    from ministack.services import apigateway, lambda_svc

    handle = apigateway._handle_execute_in_scope
    execute = lambda_svc._execute_function_with_config_scope

    async def handle_by_route(
        api_id: str, stage: str, path: str, method: str, *rest: object, **more: object
    ):
        api = apigateway._apis.get(api_id) or {}
        if method == "OPTIONS" and not api.get("corsConfiguration"):
            # The emulator looks for the name in capitals.
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
    """A signature covers the host and the path that the client asked for, and
    our front changes both. Verify it against those that were sent."""
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
    """Lets `correct(scope, answer, message)` put other messages in the place of
    one that a socket's client is sent, by what the function answered to its
    handshake."""
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
    """A handshake that is accepted names no subprotocol, which browsers that
    offered one take for a failure. Name the one that the function answers
    with."""

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


def refuse_by_the_functions_status() -> None:
    """A handshake that the function refuses is answered by 403, whatever the
    function says and also when it has failed. Answer by its status."""

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
    """What a function answers to a frame is sent to the client, and its error
    when it fails. A route without a route response sends no answer, and of a
    failure the gateway sends a notice of its own."""
    from ministack.services import apigateway, lambda_svc

    invoke = apigateway._invoke_ws_lambda
    execute = lambda_svc._execute_function_with_config_scope
    outcomes: contextvars.ContextVar[dict] = contextvars.ContextVar("outcomes")

    def execute_and_tell(*arguments: object, **more: object) -> dict:
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

    lambda_svc._execute_function_with_config_scope = execute_and_tell
    apigateway._invoke_ws_lambda = invoke_one_way


def tell_every_header_of_a_handshake() -> None:
    """Of a header that stands twice in a handshake the function is told the
    last, in `multiValueHeaders` too. Tell it of each."""
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
    """A socket takes messages of 16 MB. The gateway takes 128 KB, and closes
    the socket (1009) on more."""
    from hypercorn.config import Config

    Config.websocket_max_message_size = 128 * 1024


# As many processes of one function as run at once; more would only be slower.
PROCESSES_OF_A_FUNCTION = 4 * (os.cpu_count() or 1)


def let_calls_wait_for_a_process() -> None:
    """Every call that finds no process idle starts another one, however many
    there are: a thousand sockets that close at once bring the machine to a
    standstill. Let calls of a function wait for one of a few."""
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
    "client-address": tell_the_clients_address,
    "secure-transport": count_as_secure,
    "preflights": hand_preflights_to_the_routes,
    "batch-permissions": permit_a_batch_as_its_parts,
    "signatures": verify_signatures_as_sent,
    "subprotocols": accept_the_functions_subprotocol,
    "refusals": refuse_by_the_functions_status,
    "one-way": send_no_answer_to_frames,
    # After those that take our front's headers away.
    "every-header": tell_every_header_of_a_handshake,
    "message-size": close_on_large_messages,
    "processes": let_calls_wait_for_a_process,
}


def keep_logs(directory: str) -> None:
    """Writes what each function prints to `<function>.log`; the emulator
    itself keeps it in memory."""
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
        # Several environments of one function append to one file: unbuffered,
        # so that a line is one write.
        pump(worker, Copied(stream, open(path, "ab", buffering=0)), queue)

    ProvidedWorker._pump_output = pump_and_keep


def log_name(function_name: str) -> str:
    """`curfew-SignOutDevice-1A2B3C…`, as CloudFormation names a function, is
    the function `sign-out-device`."""
    named = re.fullmatch(r"[^-]+-([A-Za-z0-9]+)-[A-Za-z0-9]+", function_name)
    if not named:
        return function_name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", named[1]).lower()


def application():
    """The emulator, behind what rewrites headers and tells when all is ready."""
    from ministack.app import app

    async def listen(scope: dict, receive, send) -> None:
        if scope["type"] == "lifespan":

            async def tell(message: dict) -> None:
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    print(json.dumps({"port": int(os.environ["GATEWAY_PORT"])}), flush=True)

            await app(scope, receive, tell)
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

    # All of this is read while the emulator's modules load.
    os.environ.update(
        AUTH="true",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=port,
        IOT_MTLS_ENABLED="0",
        # It counts what waits for a process, too. Processes are few by our own
        # correction.
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

    # One line a request is of no use to anybody here.
    logging.getLogger("hypercorn.access").setLevel(logging.WARNING)
    with contextlib.suppress(ValueError, OSError):
        # Every open request is several files; macOS allows 256 at first.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    asyncio.run(serve(application(), config))


if __name__ == "__main__":
    sys.exit(main())
