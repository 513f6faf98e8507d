//! Verification: the owner proves again who they are, and the session gets another token.

use http::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::{Answer, Client, Error, Factor, Proof, Secret};

/// The most requests of one verification. An answer that is lost has a token that nobody
/// has, and the next answer has another one.
const ATTEMPTS: u32 = 3;

/// What proves that the holder of a session is the owner.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// The account's password.
    pub password: Option<Secret>,
    /// A challenge, and the code in its mail.
    pub code: Option<Proof>,
    /// A factor. Where one has settled, it is the only proof.
    pub factor: Option<Factor>,
    /// The challenge that the team's own login gave, for the method `external`. It is sent alone.
    pub external: Option<Secret>,
}

impl Client {
    /// Asks for a mail with a code for [`verify`](Self::verify). Returns its challenge.
    ///
    /// # Errors
    /// When the API refuses or can't be reached.
    pub async fn request_verification_code(&self) -> Result<Secret, Error> {
        let path = "/v1/verification-codes";
        let answer = self.call(Method::POST, path, None).await?;
        match answer.member("/challenge") {
            Some(challenge) if answer.status == 202 => Ok(Secret::new(challenge)),
            _ => Err(Error::from(&answer)),
        }
    }

    /// Proves that this is the owner, as one of the methods in `verification-required` says.
    /// It counts for five minutes. The session gets another token, which is stored before it
    /// is used. If the answer is lost, asks again: the token before is accepted for five
    /// minutes.
    ///
    /// # Errors
    /// When the API refuses or can't be reached, or the storage fails.
    pub async fn verify(&self, verification: &Verification) -> Result<(), Error> {
        let _alone = self.verifying.lock().await;
        let session = self.signed_in()?;
        let answer = self.ask_to_verify(verification).await?;
        match answer.member("/token") {
            Some(token) if answer.status == 200 => {
                let token = Secret::new(token);
                let rotated = self.storage().rotate(&session, token);
                rotated.map_err(Error::storage)
            }
            _ => Err(Error::from(&answer)),
        }
    }

    async fn ask_to_verify(&self, verification: &Verification) -> Result<Answer, Error> {
        let Verification {
            password,
            code,
            factor,
            external,
        } = verification;
        let mut body = code.as_ref().map_or_else(|| json!({}), Proof::to_json);
        if let Some(password) = password {
            body["password"] = password.reveal().into();
        }
        if let Some(factor) = factor {
            factor.add_to(&mut body);
        }
        if let Some(challenge) = external {
            body["external"] = challenge.reveal().into();
        }
        let mut failures = 0;
        loop {
            let asked = self.call(Method::POST, "/v1/verifications", Some(&body));
            let answer = asked.await;
            let is_decided = answer.as_ref().is_ok_and(|it| it.status < 500);
            failures += 1;
            if is_decided || failures == ATTEMPTS || self.signed_in().is_err() {
                return answer;
            }
            sleep(self.settings.timing.until_retry(failures)).await;
        }
    }
}
