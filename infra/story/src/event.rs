//! The events, as a subscriber reads them: by their claims and attributes alone.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use http_api::SignOutView;
use serde_json::Value;

use crate::device::{Answer, Device, Household};

/// That a device signed in.
pub const SESSION_ESTABLISHED: &str = "session-established";

/// The URI of each event by the name that subscribers filter by.
const URIS: [(&str, &str); 4] = [
    (
        SESSION_ESTABLISHED,
        "https://schemas.openid.net/secevent/caep/event-type/session-established",
    ),
    (
        "session-revoked",
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    ),
    (
        "other-sessions-revoked",
        "urn:curfew:secevent:other-sessions-revoked",
    ),
    (
        "credential-change",
        "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    ),
];

/// A message of the topic.
#[derive(Clone)]
pub struct Event {
    pub claims: Value,
    pub attributes: BTreeMap<String, String>,
    pub at: Instant,
}

impl Event {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(text: &str, attributes: BTreeMap<String, String>, at: Instant) -> Result<Self> {
        let claims = serde_json::from_str(text).context("a message of the topic is not JSON")?;
        Ok(Self {
            claims,
            attributes,
            at,
        })
    }

    fn claim(&self, pointer: &str) -> Option<&str> {
        self.claims.pointer(pointer)?.as_str()
    }

    /// The one event's name and members.
    fn event(&self) -> Option<(&'static str, &Value)> {
        let events = self.claims.get("events")?.as_object()?;
        let (uri, members) = events.iter().next().filter(|_| events.len() == 1)?;
        let (name, _) = URIS.iter().find(|(_, known)| known == uri)?;
        Some((name, members))
    }

    /// Its name, as far as it has one that is known.
    pub fn name(&self) -> &'static str {
        self.event().map_or("an unknown event", |(name, _)| name)
    }

    /// A member of the event itself.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.event()?.1.get(name)
    }

    pub fn account(&self) -> Option<&str> {
        self.claim("/sub_id/user/id")
    }

    pub fn device(&self) -> Option<&str> {
        self.claim("/sub_id/device/id")
    }

    pub fn session(&self) -> Option<&str> {
        self.claim("/sub_id/session/id")
    }

    /// Whether it says what an earlier one said: messages can come twice.
    pub fn repeats(&self, earlier: &Self) -> bool {
        let says = |event: &Self| {
            let ids = ["/sub_id/device/id", "/sub_id/session/id"];
            let ids = ids.map(|pointer| event.claim(pointer).map(str::to_owned));
            // A session ends once, however many sign-outs it was in reach of.
            let txn = event.session().is_none().then(|| event.claim("/txn"));
            (event.name(), ids, txn.flatten().map(str::to_owned))
        };
        let jti = self.claim("/jti");
        (jti.is_some() && jti == earlier.claim("/jti")) || says(self) == says(earlier)
    }

    /// Whether it ends a session that a subscriber knows to be over, by the epoch
    /// that it was born in: it is one of those that end twice, such as a session
    /// that ended with all the others, and whose device then signs in again.
    pub fn is_known(&self, heard: &[Self]) -> bool {
        let says = |event: &Self, name: &str| event.name() == name;
        let is_born =
            |event: &&Self| says(event, SESSION_ESTABLISHED) && event.session() == self.session();
        let born = heard
            .iter()
            .find(is_born)
            .and_then(|event| event.number("epoch"));
        let is_over = |event: &Self| {
            let is_kept = event.member("kept_session").and_then(Value::as_str) == self.session();
            born.is_some() && event.number("ended_epoch") >= born && !is_kept
        };
        says(self, "session-revoked") && self.session().is_some() && heard.iter().any(is_over)
    }

    fn number(&self, member: &str) -> Option<u64> {
        self.member(member)?.as_u64()
    }

    /// What keeps it from being a Security Event Token (RFC 8417) of one event
    /// with the attributes to filter by.
    fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        for claim in ["iss", "jti", "txn"] {
            if self.claim(&format!("/{claim}")).is_none_or(str::is_empty) {
                flaws.push(format!("has no {claim}"));
            }
        }
        if !self.claims.get("iat").is_some_and(Value::is_u64) {
            flaws.push("has no iat".to_owned());
        }
        for claim in ["sub", "exp"] {
            if self.claims.get(claim).is_some() {
                flaws.push(format!("has the claim {claim}"));
            }
        }
        if self.claim("/sub_id/format") != Some("complex") {
            flaws.push("has no complex sub_id".to_owned());
        }
        let event = self.event().map(|(name, _)| name);
        if event.is_none() {
            flaws.push("is not one event of a known type".to_owned());
        }
        if self
            .member("session_id")
            .is_some_and(|id| id.as_str() != self.session())
        {
            flaws.push("names another session than its subject".to_owned());
        }
        for (attribute, value) in [("event_type", event), ("account_id", self.account())] {
            if self.attributes.get(attribute).map(String::as_str) != value {
                flaws.push(format!("has not the attribute {attribute}"));
            }
        }
        flaws
    }

    /// Whom it is about and what it says, part by part.
    pub fn parts(&self, home: &Household) -> Vec<String> {
        let mut parts = vec![format!("user {}", tail(self.account()))];
        if let Some(id) = self.device() {
            parts.push(format!("device {}", whose(home, id)));
        }
        if let Some(id) = self.session() {
            parts.push(format!("session {}", tail(Some(id))));
        }
        parts.push(format!("txn {}", tail(self.claim("/txn"))));
        let members = self.event().and_then(|(_, members)| members.as_object());
        for (name, value) in members.into_iter().flatten() {
            // The subject has it.
            if name != "session_id" {
                parts.push(format!("{name} {}", member(home, value)));
            }
        }
        parts
    }
}

/// What a member of an event says, with ids told by whose they are.
fn member(home: &Household, value: &Value) -> String {
    match value {
        Value::String(text) if text.len() == 36 => whose(home, text),
        Value::String(text) => text.clone(),
        Value::Object(texts) => {
            let text = texts.get("en").and_then(Value::as_str).unwrap_or_default();
            format!("“{text}”")
        }
        other => other.to_string(),
    }
}

/// A device's or a session's id, and in the story whose it is.
fn whose(home: &Household, id: &str) -> String {
    let known = home.devices().into_iter().find(|device| {
        [&device.id, &device.session]
            .into_iter()
            .any(|known| known.as_deref() == Some(id))
    });
    match known {
        Some(device) => format!("{} ({})", tail(Some(id)), device.role),
        None => tail(Some(id)),
    }
}

/// The end of an id: the beginnings of ids of the same moment are alike.
fn tail(id: Option<&str>) -> String {
    let Some(id) = id else { return "none".into() };
    let from = id.len().saturating_sub(8);
    format!("…{}", id.get(from..).unwrap_or(id))
}

/// An event that must come.
pub struct Expected {
    name: &'static str,
    role: Option<&'static str>,
    device: Option<String>,
    session: Option<String>,
    /// Members of the claims, and of the event, that must be so.
    claims: Vec<(&'static str, Value)>,
    members: Vec<(&'static str, Value)>,
    /// What brought it about was answered then.
    pub since: Instant,
}

impl Expected {
    /// That a session began.
    pub fn session_established(device: &Device, answer: &Answer) -> Self {
        Self {
            role: Some(device.role),
            device: device.id.clone(),
            session: answer.text("/session").map(str::to_owned),
            ..Self::of(SESSION_ESTABLISHED, answer.at)
        }
    }

    /// That the session which the device holds was ended, by this sign-out.
    pub fn session_revoked(device: &Device, sign_out: &SignOutView, since: Instant) -> Self {
        Self {
            role: Some(device.role),
            device: device.id.clone(),
            // What no event ever told matches no event.
            session: Some(device.session.clone().unwrap_or_default()),
            ..Self::of("session-revoked", since).by(sign_out)
        }
    }

    /// That every session of the account was ended.
    pub fn all_revoked(sign_out: &SignOutView, since: Instant) -> Self {
        Self::of("session-revoked", since).by(sign_out)
    }

    /// That every session but this device's was ended.
    pub fn others_revoked(kept: &Device, sign_out: &SignOutView, since: Instant) -> Self {
        let session = kept.session.clone();
        Self::of("other-sessions-revoked", since)
            .by(sign_out)
            .saying("kept_session", session)
    }

    /// That the password was changed.
    pub fn password_changed(sign_out: &SignOutView, since: Instant) -> Self {
        let mut expected = Self::of("credential-change", since);
        expected.claims.push(("txn", sign_out.id.as_str().into()));
        expected
            .saying("credential_type", "password")
            .saying("change_type", "update")
    }

    fn of(name: &'static str, since: Instant) -> Self {
        Self {
            name,
            role: None,
            device: None,
            session: None,
            claims: Vec::new(),
            members: vec![("initiating_entity", "user".into())],
            since,
        }
    }

    fn by(mut self, sign_out: &SignOutView) -> Self {
        self.claims.push(("txn", sign_out.id.as_str().into()));
        self.saying("scope", sign_out.scope.as_str())
    }

    /// That a member of the event is so.
    pub fn saying(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((member, value.into()));
        self
    }

    /// Whether this may be the event.
    pub fn is_met_by(&self, event: &Event) -> bool {
        event.name() == self.name && event.device() == self.device.as_deref()
    }

    /// What is not as it must be about the event.
    pub fn flaws(&self, event: &Event) -> Vec<String> {
        let mut flaws = event.flaws();
        if let Some(session) = &self.session
            && event.session() != Some(session)
        {
            flaws.push(format!("is not about the session {session}"));
        }
        let claims = self
            .claims
            .iter()
            .map(|pair| (pair, event.claims.get(pair.0)));
        let members = self.members.iter().map(|pair| (pair, event.member(pair.0)));
        for ((name, value), said) in claims.chain(members) {
            if said != Some(value) {
                let said = said.map_or("nothing".to_owned(), Value::to_string);
                flaws.push(format!("says {said} for {name} and not {value}"));
            }
        }
        flaws
    }

    /// Its name, and whom it is about.
    pub fn headline(&self) -> String {
        match self.role {
            Some(role) => format!("{} · {role}", self.name),
            None => format!("{} · the account", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::{Event, URIS};

    /// An event about the session, or about the account when there is none.
    fn event(name: &str, jti: &str, session: Option<&str>, members: Value) -> Event {
        let (_, uri) = URIS.iter().find(|(known, _)| *known == name).unwrap();
        let mut claims = json!({
            "iss": "https://api.example.com", "jti": jti, "iat": 1, "txn": jti,
            "sub_id": { "format": "complex", "user": { "id": "home" } },
            "events": {},
        });
        claims["events"][*uri] = members;
        if let Some(id) = session {
            claims["sub_id"]["device"] = json!({ "id": "tv" });
            claims["sub_id"]["session"] = json!({ "id": id });
        }
        let attributes = [("event_type", name), ("account_id", "home")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = claims.to_string();
        Event::read(&text, BTreeMap::from(attributes), Instant::now()).unwrap()
    }

    #[test]
    fn an_event_as_it_must_be_has_no_flaw() {
        let event = event(
            "session-revoked",
            "1",
            Some("s"),
            json!({ "session_id": "s" }),
        );
        assert_eq!(event.flaws(), Vec::<String>::new());
    }

    #[test]
    fn a_claim_that_makes_it_a_token_of_entry_is_a_flaw() {
        let mut event = event("session-revoked", "1", Some("s"), json!({}));
        event.claims["sub"] = json!("home");
        event.claims["exp"] = json!(2);
        assert_eq!(event.flaws(), ["has the claim sub", "has the claim exp"]);
    }

    #[test]
    fn another_session_or_attribute_is_a_flaw() {
        let mut event = event(
            "session-revoked",
            "1",
            Some("s"),
            json!({ "session_id": "t" }),
        );
        event.attributes.remove("event_type");
        let flaws = [
            "names another session than its subject",
            "has not the attribute event_type",
        ];
        assert_eq!(event.flaws(), flaws);
    }

    #[test]
    fn a_message_that_comes_twice_repeats_itself() {
        let first = event("credential-change", "1", None, json!({}));
        let second = event("credential-change", "2", None, json!({}));
        assert!(first.repeats(&first));
        assert!(!second.repeats(&first));
        let ended = event("session-revoked", "3", Some("s"), json!({}));
        let again = event("session-revoked", "4", Some("s"), json!({}));
        assert!(again.repeats(&ended));
    }

    #[test]
    fn a_session_of_an_epoch_that_ended_is_known_to_be_over_but_for_the_kept_one() {
        let heard = [
            event("session-established", "1", Some("s"), json!({ "epoch": 1 })),
            event(
                "session-established",
                "2",
                Some("kept"),
                json!({ "epoch": 1 }),
            ),
            event(
                "session-established",
                "3",
                Some("new"),
                json!({ "epoch": 2 }),
            ),
            event(
                "other-sessions-revoked",
                "4",
                None,
                json!({ "ended_epoch": 1, "kept_session": "kept" }),
            ),
        ];
        let is_known =
            |session| event("session-revoked", "5", Some(session), json!({})).is_known(&heard);
        assert!(is_known("s"));
        assert!(!is_known("kept"));
        assert!(!is_known("new"));
        assert!(!is_known("never established"));
    }
}
