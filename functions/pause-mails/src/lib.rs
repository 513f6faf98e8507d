//! Stops the mails to unproven addresses when too many of them come back. An alarm on the rate
//! of bounces or complaints calls it.
//!
//! These mails have a configuration set of their own, so SES refuses them alone: recoveries and
//! notices go on. Only an operator resumes them.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use aws_sdk_sesv2::Client;
use errors::Cause;
use serde::Deserialize;

/// Pauses a configuration set.
#[derive(Debug)]
pub struct Deps {
    pub ses: Client,
    /// The configuration set of the mails to unproven addresses.
    pub set: String,
}

/// The event with which an alarm of CloudWatch calls a function.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmEvent {
    alarm_data: Alarm,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alarm {
    alarm_name: String,
    state: State,
}

#[derive(Debug, Deserialize)]
struct State {
    value: String,
}

/// The pause failed, and Lambda calls the function again.
#[derive(Debug, thiserror::Error)]
#[error("SES did not pause the mails")]
pub struct Error(#[source] Cause);

/// Pauses the configuration set, if the alarm has gone off. A replay changes nothing.
///
/// # Errors
/// [`Error`].
pub async fn handle(deps: &Deps, event: AlarmEvent) -> Result<(), Error> {
    let alarm = event.alarm_data;
    let state = alarm.state.value;
    if state != "ALARM" {
        tracing::info!(alarm = alarm.alarm_name, state, "nothing to pause");
        return Ok(());
    }
    let pause = deps.ses.put_configuration_set_sending_options();
    let pause = pause
        .configuration_set_name(&deps.set)
        .sending_enabled(false);
    if let Err(error) = pause.send().await {
        let error = Error(Box::new(error));
        tracing::error!(cause = errors::chain(&error), "mails not paused");
        return Err(error);
    }
    tracing::warn!(
        alarm = alarm.alarm_name,
        "mails to unproven addresses paused"
    );
    Ok(())
}
