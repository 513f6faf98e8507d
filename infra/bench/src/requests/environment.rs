//! What a function finds in its environment.

use curfew_tests::tables;
use tokio::process::Command;

const SOCKET_URL: &str = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1";

/// Sets what every function finds in its environment.
pub fn environment(command: &mut Command) {
    let names = tables::names();
    command.envs([
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/curfew/bench"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
        ("TOPIC_ARN", "arn:aws:sns:eu-central-1:123456789012:events"),
        (
            "UNPUBLISHED_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/unpublished",
        ),
        (
            "SWEEP_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/sweep",
        ),
        (
            "PUSH_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/push",
        ),
        ("SOCKET_CALLBACK_URL", SOCKET_URL),
        (
            "SOCKET_URL",
            "wss://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1",
        ),
        ("ISSUER", "https://curfew.example"),
        (
            "MAILS_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/mails",
        ),
        ("MAIL_FROM", "curfew@example.com"),
        ("MAIL_LANGUAGE", "en"),
        ("PAGE_URL", "https://curfew.example/"),
        ("PROVEN_CONFIGURATION_SET", "proven"),
        ("UNPROVEN_CONFIGURATION_SET", "unproven"),
    ]);
    command
        .env("ACCOUNTS_TABLE", names.accounts)
        .env("IDENTITIES_TABLE", names.identities)
        .env("DEVICES_TABLE", names.devices)
        .env("RECEIPTS_TABLE", names.receipts)
        .env("CONNECTIONS_TABLE", names.connections)
        .env("SOCKET_TICKETS_TABLE", names.tickets)
        .env("ATTEMPTS_TABLE", names.attempts)
        .env("NOTICES_TABLE", names.notices)
        .env("CHALLENGES_TABLE", names.challenges)
        .env("FACTORS_TABLE", names.factors);
}
