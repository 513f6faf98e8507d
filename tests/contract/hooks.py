"""What the contract tester can't know by itself.

Every case that needs one gets a token of its own, because a case may end the
session that it has; ids of devices and passwords are put in where a case would
otherwise never come further than a refusal. At the end, the statuses that each
operation was answered with are written to `CURFEW_CONTRACT_STATUSES`.
"""

import atexit
import base64
import hmac
import json
import os
import re
import secrets
import threading
import time
from collections import defaultdict

import requests
import schemathesis

API = os.environ["CURFEW_CONTRACT_API"]
# One that the API lets in, if there is one.
ORIGIN = os.environ.get("CURFEW_CONTRACT_ORIGIN")
# The id of the root user's key.
ROOT_KEY = os.environ["CURFEW_CONTRACT_ROOT_KEY"]
MAILS = os.environ["CURFEW_CONTRACT_MAILS"]
# An account whose address nobody has confirmed.
UNCONFIRMED = json.loads(os.environ["CURFEW_CONTRACT_UNCONFIRMED"])
# schemathesis loads this file more than once, and calls the hooks of each copy. They share
# the accounts, of which each is for one use.
shared = vars(schemathesis)
ACCOUNTS = shared.setdefault("curfew_accounts", json.loads(os.environ["CURFEW_CONTRACT_ACCOUNTS"]))
# Nobody has confirmed their addresses, so a sign-in counts as a verification.
UNPROVEN = shared.setdefault("curfew_unproven", json.loads(os.environ["CURFEW_CONTRACT_UNPROVEN"]))
PATIENCE_SECONDS = 30
# The routes that ask for what these take.
ASKS = {"confirmAccount": "/v1/accounts", "confirmPasswordReset": "/v1/password-resets"}
# Those that take the secret in a mail about a sign-in.
NOTICES = ("readNotice", "answerNotice")
# A mail takes a second or two: one valid case of each operation gets a real code.
codes: set[str] = shared.setdefault("curfew_codes", set())
# They also share which cases were filled in.
filled: set[str] = shared.setdefault("curfew_filled", set())
lock = shared.setdefault("curfew_lock", threading.RLock())


class Household:
    """An account of its own, of those that the suite has made."""

    def __init__(self, accounts: list) -> None:
        with lock:
            email, password = accounts.pop()
        self.credentials = {"email": email, "password": password}

    def sign_in(self) -> dict:
        answer = post("/v1/login", self.credentials)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_out(self) -> tuple[str, str]:
        """A token that was signed out, and the id of the sign-out."""
        token = self.sign_in()["token"]
        answer = post("/v1/sign-out", {}, {"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return token, answer.json()["sign_out"]["id"]


CODE = r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b"
# That of the mail about a lost factor, whose account has got another code before.
LOST_CODE = CODE + r"(?=\s+You asked for this code because)"


def new_email() -> str:
    return f"{secrets.token_hex(8)}@household.example"


def post(path: str, body: dict, headers: dict | None = None) -> requests.Response:
    return requests.post(API + path, json=body, headers=headers, timeout=PATIENCE_SECONDS)


def challenge_from(path: str, email: str) -> str:
    """Asks for a code for an address."""
    answer = post(path, {"email": email})
    assert answer.status_code == 202, f"{path} {email}: {answer.text}"
    return answer.json()["challenge"]


def in_mail(email: str, pattern: str) -> str:
    """Waits for a mail to an address that has the pattern, and returns what matches."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        mails = requests.get(MAILS, timeout=PATIENCE_SECONDS).json()["messages"].values()
        for mail in [mail for of_account in mails for mail in of_account if email in mail["To"]]:
            if found := re.search(pattern, mail["BodyText"]):
                return found[0]
        time.sleep(0.2)
    raise TimeoutError(f"no mail to {email} has {pattern}")


def code_from(path: str, email: str) -> dict:
    """Asks for a code for an address, and returns the challenge and the code in its mail."""
    challenge = challenge_from(path, email)
    return {"challenge": challenge, "code": in_mail(email, CODE)}


def notice_secret() -> str:
    """The secret in the mail about the second device of an account."""
    household = Household(ACCOUNTS)
    household.sign_in()
    household.sign_in()
    return in_mail(household.credentials["email"], r"(?<=#/notice/)\S+")


def totp(secret: str) -> str:
    """The code that an authenticator app shows now (RFC 6238)."""
    step = int(time.time() // 30).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), step, "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


class Owner:
    """An account with a session that may add a factor, and has begun one."""

    def __init__(self) -> None:
        self.household = Household(UNPROVEN)
        self.token = self.household.sign_in()["token"]
        self.factor = self.post("/v1/factors", {"name": "App"})

    def post(self, path: str, body: dict | None) -> dict:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.post(API + path, json=body, headers=headers, timeout=PATIENCE_SECONDS)
        assert answer.ok, answer.text
        return answer.json()

    def confirm(self) -> None:
        self.post(f"/v1/factors/{self.factor['id']}/confirmation", {"totp": totp(self.factor["secret"])})

    def second_step(self) -> dict:
        """What completes a sign-in."""
        code = self.post("/v1/recovery-codes", None)["codes"][0]
        self.confirm()
        asked = post("/v1/login", self.household.credentials).json()
        return {"challenge": asked["challenge"], "device_key": asked["device_key"], "recovery_code": code}

    def lost(self) -> dict:
        """What asks for the removal of a lost factor, which needs a confirmed address."""
        self.confirm()
        self.post("/v1/address-confirmations", code_from("/v1/accounts", self.household.credentials["email"]))
        asked = post("/v1/login", self.household.credentials).json()
        return {"challenge": asked["challenge"], "device_key": asked["device_key"]}


owners: dict[str, Owner] = shared.setdefault("curfew_owners", {})
with lock:
    if "curfew_households" not in shared:
        shared["curfew_households"] = (Household(ACCOUNTS), Household(UNPROVEN))
HOUSEHOLD, VERIFIED = shared["curfew_households"]
households: dict[str, Household] = {}
# By the token that each has ended.
sign_outs: dict[str, str] = {}
statuses: dict[str, set[int]] = defaultdict(set)


def operation_of(case: schemathesis.Case) -> str:
    return case.operation.definition.raw["operationId"]


def owner_of(operation: str) -> Owner:
    """The account of an operation on factors. A second sign-in to it would need the factor."""
    with lock:
        if operation not in owners:
            owners[operation] = Owner()
            if operation == "removeFactor":
                owners[operation].confirm()
        return owners[operation]


def is_valid(case: schemathesis.Case) -> bool:
    """Whether the case means to send what the document allows."""
    return case.meta is not None and case.meta.generation.mode.is_positive


def needs(context: schemathesis.HookContext, scheme: str) -> bool:
    return any(scheme in one for one in context.operation.definition.raw.get("security", []))


def needs_token(context: schemathesis.HookContext) -> bool:
    return needs(context, "bearer")


def needs_signature(context: schemathesis.HookContext) -> bool:
    return needs(context, "iam")


@schemathesis.auth(refresh_interval=None).apply_to(needs_token)
class Token:
    """A session of its own for each case."""

    def get(self, case: schemathesis.Case, context: object) -> str:
        if operation_of(case) == "acknowledgeSignOut":
            token, sign_out = HOUSEHOLD.sign_out()
            sign_outs[token] = sign_out
            return token
        if operation_of(case) in ("confirmFactor", "removeFactor"):
            return owner_of(operation_of(case)).token
        of_verified = ("signOutDevice", "verify", "requestAddressChange", "beginFactor", "makeRecoveryCodes", "setSignInCodes")
        if operation_of(case) in of_verified:
            return VERIFIED.sign_in()["token"]
        if operation_of(case) == "confirmAddress":
            answer = post("/v1/login", UNCONFIRMED)
            assert answer.status_code == 200, answer.text
            return answer.json()["token"]
        # A changed password or address would lock the others out, and a global sign-out end
        # the sessions of the cases that run beside it.
        own = operation_of(case) in ("changePassword", "confirmAddressChange", "signOutAll")
        household = Household(UNPROVEN) if own else HOUSEHOLD
        token = household.sign_in()["token"]
        households[token] = household
        return token

    def set(self, case: schemathesis.Case, token: str, context: object) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.auth().apply_to(needs_signature)
class Signature:
    """The root user of the local AWS, whose key is good with any signature."""

    def get(self, case: schemathesis.Case, context: object) -> str:
        return (
            f"AWS4-HMAC-SHA256 Credential={ROOT_KEY}/20261120/us-east-1/execute-api/aws4_request, "
            "SignedHeaders=host, Signature=0"
        )

    def set(self, case: schemathesis.Case, signature: str, context: object) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = signature


def fill(operation: str, body: dict, token: str) -> None:
    """Puts what came by mail into one case of an operation, and well-formed texts into the others."""
    is_first = operation not in codes
    codes.add(operation)
    if operation in NOTICES:
        if is_first:
            body["secret"] = notice_secret()
        if body.get("action") == "undo":
            # That is for another notice.
            body["action"] = "end"
        return
    body.pop("link", None)
    body.pop("recovery_code", None)
    body.pop("remove_factors", None)
    body.pop("totp", None)
    if operation == "confirmAddressChange":
        # The code works for the session that asked.
        email, headers = new_email(), {"Authorization": f"Bearer {token}"}
        answer = post("/v1/address-changes", {"email": email}, headers)
        assert answer.status_code == 202, answer.text
        code = in_mail(email, CODE) if is_first else "K7QM-2R9X"
        body.update(challenge=answer.json()["challenge"], code=code)
        return
    if operation == "confirmAddress":
        if is_first:
            body.update(code_from("/v1/accounts", UNCONFIRMED["email"]))
        else:
            body.update(challenge=challenge_from("/v1/accounts", new_email()), code="K7QM-2R9X")
        return
    if is_first:
        recovers = operation == "confirmPasswordReset"
        email = Household(ACCOUNTS).credentials["email"] if recovers else new_email()
        body.update(code_from(ASKS[operation], email), password=f"quiet otter {secrets.token_hex(8)}")
    else:
        body.update(challenge=challenge_from(ASKS[operation], new_email()), code="K7QM-2R9X")


def complete(operation: str, body: dict) -> None:
    """Puts what completes a sign-in into one case, and well-formed texts into the others."""
    if operation not in codes:
        codes.add(operation)
        body.clear()
        body.update(Owner().second_step())
        return
    body.update(challenge=challenge_from("/v1/passes", new_email()), totp="000000")
    if body.get("device_key"):
        body["device_key"] = HOUSEHOLD.sign_in()["device_key"]
    body.pop("recovery_code", None)
    body.pop("transport", None)


def lose(operation: str, body: dict) -> None:
    """Puts what loses a factor into one case of an operation, and well-formed texts into the others."""
    if operation not in codes:
        codes.add(operation)
        owner = Owner()
        asked = owner.lost()
        if operation == "reportLostFactors":
            body.update(asked)
            return
        answer = post("/v1/lost-factors", asked)
        assert answer.status_code == 202, answer.text
        code = in_mail(owner.household.credentials["email"], LOST_CODE)
        body.update(challenge=answer.json()["challenge"], code=code)
        return
    body["challenge"] = challenge_from("/v1/passes", new_email())
    if body.get("device_key"):
        body["device_key"] = HOUSEHOLD.sign_in()["device_key"]
    if "code" in body:
        body["code"] = "K7QM-2R9X"


@schemathesis.hook
def before_call(context: object, case: schemathesis.Case, **kwargs: object) -> None:
    """Puts in what is real, where the case means to be valid."""
    if not is_valid(case):
        return
    operation = operation_of(case)
    body = case.body if isinstance(case.body, dict) else {}
    token = (case.headers or {}).get("Authorization", "").removeprefix("Bearer ")
    if operation == "signOutDevice":
        signed_in = VERIFIED.sign_in()
        case.path_parameters["device_id"] = signed_in["device"]["id"]
        if body.get("device_key"):
            body["device_key"] = signed_in["device_key"]
    elif operation == "login":
        body.update(HOUSEHOLD.credentials)
        # It needs a pass, whose mails are limited.
        body.pop("sign_out", None)
        if body.get("device_key"):
            body["device_key"] = HOUSEHOLD.sign_in()["device_key"]
        if body.get("pass"):
            body["pass"] = {"challenge": challenge_from("/v1/passes", new_email()), "code": "K7QM-2R9X"}
        if body.get("transport") == "cookie":
            if ORIGIN:
                case.headers["Origin"] = ORIGIN
            else:
                body["transport"] = "bearer"
    elif operation == "loginByBackend":
        body["person"] = {"ip": "203.0.113.7"}
        body["sign_in"] = HOUSEHOLD.credentials
        # The stack of the tests has no login of its own.
        body.pop("proof", None)
    elif operation in ASKS or operation in NOTICES or operation in ("confirmAddress", "confirmAddressChange"):
        # A second copy would ask for another mail to the same address.
        if case.id not in filled:
            filled.add(case.id)
            fill(operation, body, token)
    elif operation in ("requestPass", "requestPasswordReset"):
        body["email"] = new_email()
        if body.get("device_key"):
            body["device_key"] = HOUSEHOLD.sign_in()["device_key"]
    elif operation == "requestAddressChange":
        body["email"] = new_email()
    elif operation == "register":
        body.pop("password", None)
        body["email"] = new_email()
    elif operation == "getSignOut":
        case.path_parameters["sign_out_id"] = HOUSEHOLD.sign_out()[1]
    elif operation == "acknowledgeSignOut":
        if token in sign_outs:
            case.path_parameters["sign_out_id"] = sign_outs[token]
    elif operation == "introspect":
        body["token"] = HOUSEHOLD.sign_in()["token"]
    elif operation in ("confirmFactor", "removeFactor"):
        factor = owner_of(operation).factor
        case.path_parameters["factor_id"] = factor["id"]
        if operation == "confirmFactor":
            body["totp"] = totp(factor["secret"])
    elif operation == "completeSignIn":
        if case.id not in filled:
            filled.add(case.id)
            complete(operation, body)
    elif operation in ("reportLostFactors", "confirmLostFactors"):
        if case.id not in filled:
            filled.add(case.id)
            lose(operation, body)
    elif operation == "verify":
        body.clear()
        body["password"] = VERIFIED.credentials["password"]
    elif operation == "setSignInCodes":
        # Turned on, the other cases' sign-ins would need a code.
        body["enabled"] = False
    elif operation == "changePassword":
        if token in households:
            body["current_password"] = households[token].credentials["password"]


@schemathesis.hook
def after_call(context: object, case: schemathesis.Case, response) -> None:
    # Some checks call a path by other methods than the operation's.
    if response.request.method == case.operation.method.upper():
        with lock:
            statuses[operation_of(case)].add(response.status_code)


@atexit.register
def tell() -> None:
    told = {operation: sorted(seen) for operation, seen in statuses.items()}
    with open(os.environ["CURFEW_CONTRACT_STATUSES"], "w") as file:
        json.dump(told, file, indent=2, sort_keys=True)
