"""django-allauth under measurement.

It connects to the bench, takes commands as lines of JSON, and answers each with one.
It is driven through Django's own WSGI handler and the whole stack of middleware.

`measure.py measure PORT` measures, over SQLite in memory. `measure.py race PORT` lets
sign-ins race with changes of the password: in two threads, so over SQLite in a file
of the present folder, and with a cheaper hash, so that a thousand rounds end soon.
"""

import io
import json
import logging
import os
import platform
import random
import socket
import sqlite3
import statistics
import string
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

HOST = "auth.example.com"
EMAIL = "lea@example.com"
PASSWORD = "quiet otter borrows nine lanterns"
OTHER_PASSWORD = "nine lanterns drift past the harbour"
CSRF = "c" * 32
SESSION_KEY_CHARACTERS = string.ascii_lowercase + string.digits
USER_AGENT = (
    "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko)"
    " 94.0.4606.31/7.0 TV Safari/537.36"
)

RACES = sys.argv[1] == "race"


class Hasher(PBKDF2PasswordHasher):
    """The default hasher. Sign-ins are measured with it, and without its cost."""

    is_free = False

    def verify(self, password, encoded):
        return self.is_free or super().verify(password, encoded)


MEMORY = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


def file_database():
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "race.sqlite3",
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


settings.configure(
    DEBUG=False,
    SECRET_KEY="".join(random.choices(string.ascii_letters, k=50)),
    ALLOWED_HOSTS=[HOST],
    DATABASES={"default": file_database() if RACES else MEMORY},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    ROOT_URLCONF="__main__",
    SESSION_COOKIE_SECURE=True,
    CSRF_COOKIE_SECURE=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.headless",
        "allauth.usersessions",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "allauth.account.middleware.AccountMiddleware",
        "allauth.usersessions.middleware.UserSessionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    AUTHENTICATION_BACKENDS=[
        "django.contrib.auth.backends.ModelBackend",
        "allauth.account.auth_backends.AuthenticationBackend",
    ],
    PASSWORD_HASHERS=[
        # What Django's own documentation names for tests.
        "django.contrib.auth.hashers.MD5PasswordHasher" if RACES else "__main__.Hasher"
    ],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_SIGNUP_FIELDS=["email*", "password1*", "password2*"],
    # They would refuse the bench.
    ACCOUNT_RATE_LIMITS=False,
)
django.setup()
logging.disable(logging.CRITICAL)

from allauth.account.models import EmailAddress  # noqa: E402
from allauth.usersessions.models import UserSession  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.hashers import check_password  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402


def who_am_i(request):
    """The least view of an app that asks who is signed in."""
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    return JsonResponse({"email": request.user.email})


urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
    path("who-am-i", who_am_i),
]

application = get_wsgi_application()


def environ(method, target, *, token=None, cookie=None, body=None, csrf=False):
    """A request as a WSGI server hands it over."""
    content = b"" if body is None else json.dumps(body).encode()
    cookies = []
    if cookie:
        cookies.append(f"sessionid={cookie}")
    made = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": target,
        "QUERY_STRING": "",
        "SERVER_NAME": HOST,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": HOST,
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": USER_AGENT,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": RACES,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None:
        made["CONTENT_TYPE"] = "application/json"
    if token:
        made["HTTP_X_SESSION_TOKEN"] = token
    if csrf:
        cookies.append(f"csrftoken={CSRF}")
        made["HTTP_X_CSRFTOKEN"] = CSRF
        made["HTTP_ORIGIN"] = f"https://{HOST}"
        made["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    if cookies:
        made["HTTP_COOKIE"] = "; ".join(cookies)
    return made


def ask(asked):
    """Asks, and reads the answer to its end."""
    status = []
    response = application(asked, lambda line, headers: status.append(int(line[:3])))
    body = b"".join(response)
    response.close()
    return status[0], body


def done(answer, expected=(200,)):
    status, body = answer
    if status not in expected:
        raise RuntimeError(f"{status}: {body.decode()}")
    return json.loads(body) if body[:1] == b"{" else {}


def sign_in(password=PASSWORD):
    body = {"email": EMAIL, "password": password}
    return environ("POST", "/_allauth/app/v1/auth/login", body=body)


def session(token):
    return environ("GET", "/_allauth/app/v1/auth/session", token=token)


def is_alive(token):
    status, _ = ask(session(token))
    # 401 and 410 are what it says of a session that is over.
    if status not in (200, 401, 410):
        raise RuntimeError(f"a check was answered by {status}")
    return status == 200


# The sessions as they were seeded, the caller's own first.
rows: list[tuple[Session, UserSession]] = []


def seed(sessions):
    """One session by a real sign-in, and the others after its pattern."""
    Session.objects.all().delete()
    UserSession.objects.all().delete()
    rows.clear()
    done(ask(sign_in()))
    own, tracked = Session.objects.get(), UserSession.objects.get()
    rows.append((own, tracked))
    within = own.get_decoded()
    store = Session.get_session_store_class()()
    for n in range(1, sessions):
        key = "".join(random.choices(SESSION_KEY_CHARACTERS, k=32))
        rows.append(
            (
                Session(
                    session_key=key,
                    session_data=store.encode(within),
                    expire_date=own.expire_date,
                ),
                UserSession(
                    id=tracked.id + n,
                    session_key=key,
                    user_id=tracked.user_id,
                    ip=tracked.ip,
                    user_agent=tracked.user_agent,
                    created_at=tracked.created_at + timedelta(seconds=n),
                    last_seen_at=tracked.last_seen_at,
                ),
            )
        )
    restore()


def restore(_=None):
    """Lets the sessions be again as they were seeded."""
    with transaction.atomic():
        Session.objects.all().delete()
        UserSession.objects.all().delete()
        Session.objects.bulk_create([row for row, _ in rows])
        UserSession.objects.bulk_create([row for _, row in rows])


def forget_new(answer):
    """Takes the session away that a sign-in has made."""
    key = answer["meta"]["session_token"]
    Session.objects.filter(session_key=key).delete()
    UserSession.objects.filter(session_key=key).delete()


def own():
    return rows[0][0].session_key


def sessions(method, body=None):
    return environ(method, "/_allauth/app/v1/auth/sessions", token=own(), body=body)


def nothing(_):
    pass


# The request, and what has to be put right after it.
OPERATIONS = {
    "sign-in": (sign_in, forget_new),
    "sign-in, no hash": (sign_in, forget_new),
    "check": (lambda: session(own()), nothing),
    "check, least view": (lambda: environ("GET", "/who-am-i", cookie=own()), nothing),
    "list": (lambda: sessions("GET"), nothing),
    "end one": (lambda: sessions("DELETE", {"sessions": [rows[1][1].id]}), restore),
    "end others": (
        lambda: environ("POST", "/accounts/sessions/", cookie=own(), csrf=True),
        restore,
    ),
}


def a_round(operation):
    asked = OPERATIONS[operation][0]()
    before = time.process_time()
    answer = ask(asked)
    cpu = time.process_time() - before
    # The regular view of ending others answers by a redirect.
    return cpu * 1000, done(answer, (200, 302))


def counted_round(operation):
    """A round whose statements are counted, which takes next to nothing."""
    count = 0

    def counted(execute, *arguments):
        nonlocal count
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(counted):
        cpu, answer = a_round(operation)
    OPERATIONS[operation][1](answer)
    return cpu, count


def measure(operation, rounds, seconds, warm_seconds):
    """Rounds until there are enough or the time is over; the first only warm up.

    Where one alone takes longer than that, it is the only one.
    """
    Hasher.is_free = operation == "sign-in, no hash"
    after = OPERATIONS[operation][1]

    def timed():
        cpu, answer = a_round(operation)
        after(answer)
        return cpu

    began = time.monotonic()
    cpu, count = counted_round(operation)
    every = [cpu]
    if time.monotonic() - began < seconds:
        warmed = 1
        while warmed < 1000 and time.monotonic() - began < warm_seconds:
            timed()
            warmed += 1
        every = []
        end = time.monotonic() + seconds
        while len(every) < rounds and (len(every) < 3 or time.monotonic() < end):
            every.append(timed())
    Hasher.is_free = False
    return {"cpu_ms": every, "queries": count}


last: list[tuple] = []


def once(operation):
    """One round, of which the bench takes the time."""
    Hasher.is_free = operation == "sign-in, no hash"
    request, after = OPERATIONS[operation]
    last[:] = [(after, done(ask(request()), (200, 302)))]
    Hasher.is_free = False


def undo():
    """Puts right what the last such round has changed."""
    after, answer = last[0]
    after(answer)


def hash_alone(rounds):
    stored = get_user_model().objects.get().password
    cpu = []
    for n in range(rounds + 3):
        before = time.process_time()
        check_password(PASSWORD, stored)
        if n >= 3:
            cpu.append((time.process_time() - before) * 1000)
    return {"cpu_ms": cpu, "queries": 0}


def survivors():
    """Ends the other sessions, and presents every one of their tokens."""
    request, _ = OPERATIONS["end others"]
    done(ask(request()), (302,))
    alive = sum(is_alive(row.session_key) for row, _ in rows[1:])
    restore()
    return {"presented": len(rows) - 1, "alive": alive}


class Race:
    """Sign-ins with the old password while it is changed, at random moments."""

    def __init__(self):
        # The threads take turns more often than by default, so that they meet at
        # more places.
        sys.setswitchinterval(0.0001)
        self.current = PASSWORD
        self.owner = done(ask(sign_in()))["meta"]["session_token"]
        times = [self.alone() for _ in range(30)]
        self.sign_in_s = statistics.median(one for one, _ in times)
        self.change_s = statistics.median(other for _, other in times)

    def other(self):
        return OTHER_PASSWORD if self.current == PASSWORD else PASSWORD

    def change(self):
        body = {"current_password": self.current, "new_password": self.other()}
        target = "/_allauth/app/v1/account/password/change"
        return environ("POST", target, token=self.owner, body=body)

    def changed(self, answer):
        """Takes note of what became of the password, and whether it was changed."""
        status, _ = answer
        # When the caller's own session was ended by the sign-in beside it, the
        # answer is an error, whatever became of the password.
        if status not in (410, 500):
            # A session that goes on may have another key from now on.
            told = done(answer).get("meta", {})
            self.owner = told.get("session_token", self.owner)
        stored = get_user_model().objects.get().password
        is_changed = check_password(self.other(), stored)
        if is_changed:
            self.current = self.other()
        return is_changed

    def alone(self):
        began = time.perf_counter()
        done(ask(sign_in(self.current)))
        signed_in = time.perf_counter()
        answer = ask(self.change())
        ended = time.perf_counter()
        self.changed(answer)
        return signed_in - began, ended - signed_in

    def one(self):
        span = self.sign_in_s + self.change_s
        offset = random.random() * span - self.sign_in_s
        start = time.perf_counter() + 0.002
        entry, change = {}, {}
        threads = [
            threading.Thread(
                target=act_from,
                args=(start + max(offset, 0), sign_in(self.current), entry),
            ),
            threading.Thread(
                target=act_from, args=(start - min(offset, 0), self.change(), change)
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        is_changed = self.changed(change["answer"])
        outcome = Counter(rounds=1)
        status, body = entry["answer"]
        # 400 is what it says of a wrong password.
        if status != 400:
            token = done((status, body))["meta"]["session_token"]
            outcome["signed_in"] = 1
            outcome["overlapping"] = int(
                entry["began"] < change["ended"] and change["began"] < entry["ended"]
            )
            outcome["alive"] = int(is_changed and is_alive(token))
        if not is_alive(self.owner):
            outcome["lost"] = 1
            self.owner = done(ask(sign_in(self.current)))["meta"]["session_token"]
        return outcome


def act_from(moment, asked, told):
    while time.perf_counter() < moment:
        time.sleep(0)
    told["began"] = time.perf_counter()
    told["answer"] = ask(asked)
    told["ended"] = time.perf_counter()
    connections.close_all()


race_state: list[Race] = []


def race(rounds):
    if not race_state:
        race_state.append(Race())
    outcome = Counter(signed_in=0, overlapping=0, alive=0, lost=0)
    for _ in range(rounds):
        outcome.update(race_state[0].one())
    return outcome


def about():
    return {
        "process": os.getpid(),
        "versions": [
            f"django-allauth {version('django-allauth')}",
            f"Django {django.get_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            f"Python {platform.python_version()}",
        ]
    }


COMMANDS = {
    "about": about,
    "seed": seed,
    "measure": measure,
    "once": once,
    "undo": undo,
    "hash": hash_alone,
    "survivors": survivors,
    "race": race,
}


def main():
    if RACES:
        for left in Path().glob("race.sqlite3*"):
            left.unlink()
    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create_user("lea", EMAIL, PASSWORD)
    EmailAddress.objects.create(user=user, email=EMAIL, verified=True, primary=True)
    bench = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    with bench, bench.makefile("rw") as lines:
        for line in lines:
            command = json.loads(line)
            answer = COMMANDS[command.pop("do")](**command)
            print(json.dumps(answer or {}), file=lines, flush=True)


if __name__ == "__main__":
    main()
