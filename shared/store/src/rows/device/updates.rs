//! The updates of rows of Devices.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_sdk_dynamodb::types::Update;
use domain::account::Epoch;
use domain::device::{Device, EndingActs, Place, UnprovenActs};
use domain::end_info::EndInfo;
use domain::limits::ENDING_ACTS_PER_HOUR;
use domain::verification::NewToken;
use domain::{SessionId, Timestamp};

use super::{active_place_attributes, has_session, is_signed_in, key, signed_in_key};
use crate::attributes::{
    Item, SCOPE, STATE, STATE_SIGNED_IN, STATE_SIGNED_OUT, WRITE_ACT, WRITE_RECOGNIZE, WRITE_TOUCH,
    WRITE_VERIFY, built, bytes, number, string, timestamp,
};
use crate::writes::Condition;

/// Returns the update that counts an act by which the session ends others, if the
/// session is signed in and has acts left in this hour.
pub(crate) fn count_act(
    table: &str,
    device: &Device,
    now: Timestamp,
    counted: CountedAct,
) -> Update {
    let mut condition = is_signed_in(device.session);
    let count = count_ending(&mut condition, device, now);
    let unproven = count_unproven(&mut condition, device, now, counted);
    let mut set = format!("SET last_write = :write, {count}");
    let mut update = condition
        .update(table, key(device.account, device.id))
        .expression_attribute_values(":write", string(WRITE_ACT))
        .expression_attribute_values(":one", number(1));
    match counted {
        CountedAct::Verified => {}
        CountedAct::VerifiedMovingTo(epoch) => {
            set.push_str(", signed_in_key = :key");
            let key = signed_in_key(epoch, device.id);
            update = update.expression_attribute_values(":key", string(key));
        }
        CountedAct::Unproven { .. } => {
            let _ = write!(set, ", {unproven}");
        }
    }
    built(update.update_expression(set).build())
}

/// Adds the condition that a session has acts left in this hour, and returns what counts one.
fn count_ending(condition: &mut Condition, device: &Device, now: Timestamp) -> &'static str {
    let hour = EndingActs::hour_of(now);
    let expression = condition.expression.to_mut();
    // The hour in the row is later than this one if this clock is behind: count in it.
    if device.ending_acts.hour >= hour {
        expression.push_str(" AND acts < :most");
        let most = number(ENDING_ACTS_PER_HOUR);
        condition.values.push((":most", most));
        return "acts = acts + :one";
    }
    expression.push_str(" AND (attribute_not_exists(acts_hour) OR acts_hour < :hour)");
    condition.values.push((":hour", number(hour)));
    "acts = :one, acts_hour = :hour"
}

/// Adds the condition that a session has acts without a verification left today, if the act
/// is one, and returns what counts it.
fn count_unproven(
    condition: &mut Condition,
    device: &Device,
    now: Timestamp,
    counted: CountedAct,
) -> &'static str {
    let CountedAct::Unproven { most } = counted else {
        return "";
    };
    let day = UnprovenActs::day_of(now);
    let expression = condition.expression.to_mut();
    if device.unproven_acts.day >= day {
        expression.push_str(" AND unproven_acts < :most_unproven");
        condition.values.push((":most_unproven", number(most)));
        return "unproven_acts = unproven_acts + :one";
    }
    expression
        .push_str(" AND (attribute_not_exists(unproven_acts_day) OR unproven_acts_day < :day)");
    condition.values.push((":day", number(day)));
    "unproven_acts = :one, unproven_acts_day = :day"
}

/// The way in which an act against other sessions is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedAct {
    /// The session was verified.
    Verified,
    /// The same, and the act moves the session to this epoch.
    VerifiedMovingTo(Epoch),
    /// The session was not verified. It may act so at most `most` times a day.
    Unproven {
        /// The most acts a day.
        most: u32,
    },
}

/// Returns the update that ends a session in its own row, if it is signed in there.
/// `write` is the kind of write, for the stream.
pub(crate) fn end_session(table: &str, device: &Device, ended: &EndInfo, write: &str) -> Update {
    let mut set = "SET #state = :signed_out, signed_out_at = :at, reason = :reason, \
                   #scope = :scope, sign_out_id = :sign_out, last_write = :write"
        .to_owned();
    let mut update = is_signed_in(device.session)
        .update(table, key(device.account, device.id))
        .expression_attribute_names("#scope", SCOPE)
        .expression_attribute_values(":signed_out", string(STATE_SIGNED_OUT))
        .expression_attribute_values(":at", timestamp(ended.at))
        .expression_attribute_values(":reason", string(ended.reason.as_str()))
        .expression_attribute_values(":scope", string(ended.scope.as_str()))
        .expression_attribute_values(":sign_out", string(ended.sign_out))
        .expression_attribute_values(":write", string(write));
    if let Some(by) = &ended.by {
        set.push_str(", signed_out_by = :by, signed_out_by_name = :by_name");
        update = update
            .expression_attribute_values(":by", string(by.id))
            .expression_attribute_values(":by_name", string(&by.name));
    }
    set.push_str(" REMOVE signed_in_key");
    built(update.update_expression(set).build())
}

/// Returns the update that gives a signed-in session another token, if no other verification
/// has done so in between.
pub(crate) fn verify(table: &str, device: &Device, new: &NewToken) -> Update {
    // The token also names the session: no other one has it.
    let condition = Condition {
        expression: Cow::Borrowed("token_hash = :current AND #state = :signed_in"),
        names: &[("#state", STATE)],
        values: vec![
            (":current", bytes(device.token_hash.as_bytes())),
            (":signed_in", string(STATE_SIGNED_IN)),
        ],
    };
    let mut set = "SET token_hash = :new, previous_token_hash = :previous, \
                   previous_token_until = :until, verified_at = :at, last_write = :write"
        .to_owned();
    let mut update = condition
        .update(table, key(device.account, device.id))
        .expression_attribute_values(":new", bytes(new.hash.as_bytes()))
        .expression_attribute_values(":previous", bytes(new.previous.hash.as_bytes()))
        .expression_attribute_values(":until", timestamp(new.previous.until))
        .expression_attribute_values(":at", timestamp(new.verified_at))
        .expression_attribute_values(":write", string(WRITE_VERIFY));
    if let Some(until) = new.recognized_until {
        set.push_str(", recognized_until = :recognized");
        update = update.expression_attribute_values(":recognized", timestamp(until));
    }
    built(update.update_expression(set).build())
}

/// Returns the update that ends the time of the token before, if its end is still the one that
/// was read and the session is signed in. It names no token attribute, because the policies of
/// its callers deny those.
pub(crate) fn end_previous_token(
    table: &str,
    device: &Device,
    until: Timestamp,
    now: Timestamp,
) -> Update {
    let mut condition = is_signed_in(device.session);
    condition
        .expression
        .to_mut()
        .push_str(" AND previous_token_until = :until");
    let update = condition
        .update(table, key(device.account, device.id))
        .update_expression("SET previous_token_until = :now, last_write = :write")
        .expression_attribute_values(":until", timestamp(until))
        .expression_attribute_values(":now", timestamp(now))
        .expression_attribute_values(":write", string(WRITE_VERIFY));
    built(update.build())
}

/// Returns the update that recognizes a device, if its row still holds this session.
pub(crate) fn recognize(table: &str, device: &Device, until: Timestamp) -> Update {
    recognize_if(has_session(device.session), table, device, until)
}

/// The same, if the session is signed in.
pub(crate) fn recognize_signed_in(table: &str, device: &Device, until: Timestamp) -> Update {
    recognize_if(is_signed_in(device.session), table, device, until)
}

fn recognize_if(condition: Condition, table: &str, device: &Device, until: Timestamp) -> Update {
    let update = condition
        .update(table, key(device.account, device.id))
        .update_expression("SET recognized_until = :until, last_write = :write")
        .expression_attribute_values(":until", timestamp(until))
        .expression_attribute_values(":write", string(WRITE_RECOGNIZE));
    built(update.build())
}

/// Returns the update of a touch, if the session is signed in. Without a place the row keeps
/// the one before.
pub(crate) fn touch(
    table: &str,
    key: Item,
    session: SessionId,
    place: Option<&Place>,
    now: Timestamp,
) -> Update {
    let mut update = is_signed_in(session)
        .update(table, key)
        .expression_attribute_values(":now", timestamp(now))
        .expression_attribute_values(":touch", string(WRITE_TOUCH));
    let mut set = "SET last_active_at = :now, last_write = :touch".to_owned();
    let mut unknown = Vec::new();
    for (attribute, value) in place.into_iter().flat_map(active_place_attributes) {
        match value {
            Some(value) => {
                let _ = write!(set, ", {attribute} = :{attribute}");
                update = update.expression_attribute_values(format!(":{attribute}"), string(value));
            }
            None => unknown.push(attribute),
        }
    }
    if !unknown.is_empty() {
        let _ = write!(set, " REMOVE {}", unknown.join(", "));
    }
    built(update.update_expression(set).build())
}
