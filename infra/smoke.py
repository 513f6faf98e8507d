#!/usr/bin/env python3
"""Checks a deployed stack as its users would: registers an account, signs devices in
and out over HTTP and a socket, introspects, and reads settings back.

Prints one line for each check. The exit code is 1 when one has failed. The credentials
of the shell must be allowed to read the stack, and to invoke its routes for services and its
authorizer. In the end every session of the account is signed out.

A stack that sends no mail gets a new account, which stays, because no route deletes one;
nobody has its password. Where mail is sent, name an account that you have made on the page:
its password is read from CURFEW_SMOKE_PASSWORD, or asked for.

    pip install boto3 websockets
    python3 infra/smoke.py --stack curfew --email smoke@example.com
"""

import argparse
import contextlib
import getpass
import io
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from redrive import Redrive
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# A first request starts a function; a push goes through a stream and a queue.
TIMEOUT_SECONDS = 30
# The APIs by the prefix of the parameters of their throttle, and the routes that have
# the throttle of signing in.
THROTTLES = {"HttpApi": "Api", "SocketApi": "Socket"}
SIGN_IN_ROUTES = (
    "POST /v1/accounts",
    "POST /v1/accounts/confirmations",
    "POST /v1/password-resets/confirmations",
    "POST /v1/login",
    "POST /v1/backend/login",
    "PUT /v1/password",
    "POST /v1/verification-codes",
    "POST /v1/verifications",
)
# The address of SES that takes every mail. It is one mailbox, which gets three mails at once.
SINK = "success+{}@simulator.amazonses.com"


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"{what} is {found!r} instead of {wanted!r}")


class Api:
    """The HTTP API, at the address at which devices reach it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def call(self, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
        """Returns the status and the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is None:
            return self.send(method, path, headers, None)
        headers["Content-Type"] = "application/json"
        return self.send(method, path, headers, json.dumps(body).encode())

    def introspect(self, token: str, is_signed: bool) -> tuple[int, Any]:
        body = urlencode({"token": token}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if is_signed:
            headers = self.signed("/v1/introspect", headers, body)
        return self.send("POST", "/v1/introspect", headers, body)

    def sign_in_by_backend(self, account: dict, is_signed: bool) -> tuple[int, Any]:
        body = json.dumps({"person": {"ip": "192.0.2.1"}, "sign_in": account}).encode()
        headers = {"Content-Type": "application/json"}
        if is_signed:
            headers = self.signed("/v1/backend/login", headers, body)
        return self.send("POST", "/v1/backend/login", headers, body)

    def signed(self, path: str, headers: dict, body: bytes) -> dict:
        """Returns the headers with a signature of the credentials of the shell."""
        session = boto3.Session()
        request = AWSRequest("POST", self.url + path, headers, body)
        key = session.get_credentials().get_frozen_credentials()
        SigV4Auth(key, "execute-api", session.region_name).add_auth(request)
        return dict(request.headers.items())

    def send(self, method: str, path: str, headers: dict, body: bytes | None) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text.startswith(b"{") else text.decode()


class Smoke:
    """The checks, in their order. A later one uses what an earlier one has found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.failed = 0
        self.account = {
            "email": f"smoke-{secrets.token_hex(8)}@example.com",
            "password": secrets.token_urlsafe(24),
        }
        self.tokens: list[str] = []
        self.devices: list[str] = []
        self.socket: Any = None
        self.sign_out_id = ""

    def run(self) -> int:
        """Returns the exit code."""
        if not self.check("stack", self.read_stack):
            return 1
        if self.check("register", self.register) and self.check("sign in", self.sign_in):
            self.check("list", self.list_devices)
            self.check("introspection without a signature", self.unsigned)
            self.check("introspection with a signature", self.signed)
            self.check("sign-in by a backend without a signature", self.unsigned_backend)
            self.check("sign-in by a backend with a signature", self.signed_backend)
            self.check("authorizer", self.authorizer)
            self.check("socket", self.open_socket)
            if self.check("sign out", self.sign_out):
                self.check("push, acknowledgement and receipt", self.acknowledge)
                self.check("the signed-out device is refused", self.refused)
        if self.tokens:
            self.check("sign out everything", self.clean_up)
        self.check("throttles", self.throttles)
        self.check("redrive, dry run", self.redrive)
        return 1 if self.failed else 0

    def check(self, name: str, check: Callable[[], str | None]) -> bool:
        """Runs a check, and prints its outcome."""
        try:
            print(f"ok      {name}{check() or ''}", flush=True)
        except Exception as error:  # whatever goes wrong is what this program looks for
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            self.failed += 1
            return False
        return True

    def read_stack(self) -> None:
        name = self.options.stack
        described = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        self.parameters = {
            one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]
        }
        self.api = Api(self.options.api_url or self.outputs["ApiUrl"])
        self.services = Api(self.options.introspection_url or self.api.url)
        self.redriving = Redrive(name, dry_run=True)

    def register(self) -> None:
        body: dict[str, str] = self.account
        if self.parameters["MailFrom"]:
            body = {"email": SINK.format(secrets.token_hex(8))}
        status, answer = self.api.call("POST", "/v1/accounts", body=body)
        is_sent = status == 202 and "challenge" in answer
        if not self.parameters["MailFrom"]:
            expect(f"the status ({answer})", status, 202)
        elif is_sent or status == 429:
            self.account = self.own_account()
        else:
            raise ValueError(f"the answer is {status} {answer} instead of a challenge")

    def own_account(self) -> dict[str, str]:
        email = self.options.email
        if not email:
            raise ValueError("the stack sends mail: name an account that you have, by --email")
        password = os.environ.get("CURFEW_SMOKE_PASSWORD")
        return {"email": email, "password": password or getpass.getpass(f"Password of {email}: ")}

    def sign_in(self) -> None:
        for name, kind in (("Smoke laptop", "computer"), ("Smoke TV", "tv")):
            body = {**self.account, "device": {"name": name, "type": kind}}
            status, answer = self.api.call("POST", "/v1/login", body=body)
            expect(f"the status of {name}", status, 200)
            self.tokens.append(answer["token"])
            self.devices.append(answer["device"]["id"])

    def list_devices(self) -> None:
        status, answer = self.api.call("GET", "/v1/devices", self.tokens[0])
        expect("the status", status, 200)
        found = {one["id"]: one["status"] for one in answer["devices"]}
        expect("the list", found, dict.fromkeys(self.devices, "signed_in"))

    def unsigned(self) -> None:
        status, _ = self.services.introspect(self.tokens[1], is_signed=False)
        expect("the status", status, 403)

    def signed(self) -> None:
        status, answer = self.services.introspect(self.tokens[1], is_signed=True)
        expect(f"the status ({answer})", status, 200)
        expect("the device", answer.get("device_id"), self.devices[1])

    def unsigned_backend(self) -> None:
        status, _ = self.services.sign_in_by_backend(self.account, is_signed=False)
        expect("the status", status, 403)

    def signed_backend(self) -> None:
        status, answer = self.services.sign_in_by_backend(self.account, is_signed=True)
        expect("the status", status, 200)
        expect("the person's address", answer["device"]["ip"], "192.0.2.1")

    def authorizer(self) -> None:
        expect("the decision", self.authorize(self.tokens[1]), True)
        expect("the decision about another token", self.authorize("cft_"), False)

    def authorize(self, token: str) -> bool:
        """Invokes the authorizer with an event like API Gateway's."""
        http = {"method": "GET", "path": "/", "sourceIp": "192.0.2.1"}
        event = {
            "version": "2.0",
            "type": "REQUEST",
            "routeKey": "GET /",
            "rawPath": "/",
            "identitySource": [f"Bearer {token}"],
            "headers": {"authorization": f"Bearer {token}"},
            "requestContext": {"routeKey": "GET /", "http": http},
        }
        answer = boto3.client("lambda").invoke(
            FunctionName=self.outputs["AuthorizerArn"], Payload=json.dumps(event).encode()
        )
        decision = json.loads(answer["Payload"].read())
        expect(f"the error of {decision}", answer.get("FunctionError"), None)
        return decision["isAuthorized"]

    def open_socket(self) -> None:
        url = self.options.socket_url or self.outputs["SocketUrl"]
        bearer = {"Authorization": f"Bearer {self.tokens[1]}"}
        self.socket = connect(url, additional_headers=bearer, open_timeout=TIMEOUT_SECONDS)

    def sign_out(self) -> None:
        # One device alone would need a verification, with a code from a mail.
        path, body = "/v1/sign-out-all", {"scope": "global"}
        status, answer = self.api.call("POST", path, self.tokens[0], body)
        expect("the status", status, 200)
        self.sign_out_id = answer["sign_out"]["id"]
        status, answer = self.api.call("POST", "/v1/login", body=self.account)
        expect("the status of the next sign-in", status, 200)
        self.tokens[0] = answer["token"]

    def acknowledge(self) -> str:
        began = time.monotonic()
        frame = json.loads(self.socket.recv(timeout=TIMEOUT_SECONDS))
        took = time.monotonic() - began
        expect("the frame", frame["type"], "session-revoked")
        expect("its sign-out", frame["sign_out"], self.sign_out_id)
        self.socket.send(json.dumps({"type": "acknowledgement", "sign_out": self.sign_out_id}))
        with contextlib.suppress(ConnectionClosed):  # it has accepted
            self.socket.recv(timeout=TIMEOUT_SECONDS)
        path = f"/v1/sign-outs/{self.sign_out_id}"
        status, answer = self.api.call("GET", path, self.tokens[0])
        expect("the status of the receipt", status, 200)
        expect("the number of wiped devices", answer["sign_out"]["total"]["wiped"], 1)
        return f" (pushed after {took:.1f} s)"

    def refused(self) -> None:
        status, answer = self.api.call("GET", "/v1/session", self.tokens[1])
        expect("the status", status, 401)
        expect("the reason", answer["type"], "urn:curfew:problem:session-signed-out")
        found = self.services.introspect(self.tokens[1], is_signed=True)
        expect("introspection", found, (200, {"active": False}))
        expect("the authorizer's decision", self.authorize(self.tokens[1]), False)

    def clean_up(self) -> None:
        if self.socket:
            self.socket.close()
        path, body = "/v1/sign-out-all", {"scope": "global"}
        status, _ = self.api.call("POST", path, self.tokens[0], body)
        expect("the status", status, 200)

    def throttles(self) -> None:
        gateway = boto3.client("apigatewayv2")
        for api, prefix in THROTTLES.items():
            (stage,) = gateway.get_stages(ApiId=self.redriving.ids[api])["Items"]
            found = {api: stage["DefaultRouteSettings"], **stage.get("RouteSettings", {})}
            wanted = {api: prefix}
            if api == "HttpApi":
                wanted |= dict.fromkeys(SIGN_IN_ROUTES, "SignIn")
            for route, of in wanted.items():
                for limit in ("RateLimit", "BurstLimit"):
                    value = float(self.parameters[of + limit])
                    expect(f"the {limit} of {route}", found[route][f"Throttling{limit}"], value)

    def redrive(self) -> str:
        counts = io.StringIO()
        with contextlib.redirect_stdout(counts):
            self.redriving.run()
        return f" ({', '.join(counts.getvalue().splitlines())})"


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks a deployed stack.")
    parser.add_argument("--stack", required=True, help="the name of the stack")
    parser.add_argument("--email", help="an account to sign in to, if the stack sends mail")
    parser.add_argument("--api-url", help="the address of the API, if it isn't API Gateway's")
    parser.add_argument(
        "--introspection-url", help="the address for your services, if --api-url is a distribution's"
    )
    parser.add_argument("--socket-url", help="the address of the socket, if it isn't the stack's")
    return Smoke(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
