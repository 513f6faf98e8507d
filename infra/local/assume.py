"""Prints a key of a role as JSON: `assume.py ROLE_ARN`."""

import json
import sys

import boto3

# The longest that a role may allow.
TWELVE_HOURS = 43_200


def main() -> None:
    keys = boto3.client("sts").assume_role(
        RoleArn=sys.argv[1], RoleSessionName="service", DurationSeconds=TWELVE_HOURS
    )["Credentials"]
    names = {
        "access_key_id": "AccessKeyId",
        "secret_access_key": "SecretAccessKey",
        "session_token": "SessionToken",
    }
    json.dump({name: keys[of] for name, of in names.items()}, sys.stdout)


if __name__ == "__main__":
    main()
