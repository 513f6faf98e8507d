//! Codes that were mailed: a recovery and a change of the address are completed with them.

use anyhow::{Context as _, Result};
use curfew_tests::bundle::Bundle;
use domain::challenge::ChallengeRandom;
use domain::{EmailAddress, NewChallenge, Purpose, Token};
use serde_json::{Value, json};

/// What confirms a recovery, and a change of the address by the first device.
pub struct Codes {
    pub recovery: Value,
    pub address_change: Value,
}

impl Codes {
    /// Stores the challenges, as if their mails had just been sent.
    pub async fn ask(bundle: &Bundle, email: &str, token: &str) -> Result<Self> {
        let token = Token::parse(token).context("a valid token")?;
        let id = token.device();
        let mut rows = bundle.store.rows(token.account(), &[id]).await?;
        let device = rows.take_device(id).context("the device")?;
        let account = rows.account.context("the account")?;
        let asked = |purpose, email, byte| {
            let random = ChallengeRandom {
                secret: [byte; 32],
                code: [byte; 5],
                link: [byte; 32],
            };
            let email = EmailAddress::parse(email).context("an address")?;
            anyhow::Ok(NewChallenge::new(
                purpose,
                email,
                bundle.clock.now(),
                random,
            ))
        };
        let recovery = asked(Purpose::Recovery, email, 1)?;
        let change = asked(Purpose::AddressChange, "lea@example.org", 2)?;
        let change = change.bound_to(device.session).in_epoch(account.epoch);
        for asked in [&recovery, &change] {
            bundle.store.put_challenge(&asked.challenge).await?;
        }
        let answer = |it: &NewChallenge| json!({ "challenge": *it.secret.to_text(), "code": *it.code.to_text() });
        Ok(Self {
            recovery: answer(&recovery),
            address_change: answer(&change),
        })
    }
}
