//! The commands for an owner who can't sign in: a new password or a pass, by a code in a
//! mail. And those that prove who the owner is, before others are signed out.

use anyhow::{Error, Result};
use curfew_client::{Factor, Proof, SecondStep, Secret, Verification};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::commands::Act;
use crate::device::Device;

/// The list of these commands.
pub(crate) const COMMANDS: &str =
    "forgot · recover CODE NEW PASSWORD · pass · pass CODE · factor CODE · lost · lost CODE";

/// The challenges of the last mails that this device has asked for.
#[derive(Default)]
pub(crate) struct Challenges {
    recovery: Option<Secret>,
    pass: Option<Secret>,
    verification: Option<Secret>,
    /// The second step of the sign-in.
    pub(crate) step: Option<Secret>,
    /// The code that says that the authenticator apps are lost.
    lost: Option<Secret>,
    /// The sign-out that waits for a verification.
    waiting: Option<Act>,
    /// The recovery that waits for a factor, with the new password.
    recovering: Option<(Proof, Secret)>,
}

impl Device {
    /// Takes commands after a failed sign-in, until one of them signs in.
    ///
    /// # Errors
    /// The failed sign-in, when the owner quits or nobody types.
    pub(crate) async fn wait_for_way_in(
        &mut self,
        failed: Error,
        lines: &mut UnboundedReceiver<String>,
    ) -> Result<()> {
        self.screen.say(&format!("{failed:#}."));
        let commands = format!("Commands: {COMMANDS} · quit");
        self.screen.say(&commands);
        while self.client.session().is_none() {
            let Some(line) = lines.recv().await else {
                return Err(failed);
            };
            self.screen.typed();
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [] => {}
                ["quit"] => return Err(failed),
                words if self.run_code_command(words).await => {}
                _ => self.screen.say(&format!("Unknown command. {commands}")),
            }
        }
        Ok(())
    }

    /// Runs one of these commands. Returns false if it is none of them.
    pub(crate) async fn run_code_command(&mut self, words: &[&str]) -> bool {
        match words {
            ["forgot"] => self.forgot().await,
            ["recover", code, password @ ..] if !password.is_empty() => {
                self.recover(code, &password.join(" ")).await;
            }
            ["pass"] => self.ask_for_pass().await,
            ["pass", code] => self.sign_in_with_pass(code).await,
            ["code"] => self.ask_for_code().await,
            ["code", code, password @ ..] => {
                let Some(challenge) = self.challenges.verification.clone() else {
                    self.screen.say("Type code first.");
                    return true;
                };
                let code = Some(proof(challenge, code));
                let password = (!password.is_empty()).then(|| Secret::new(password.join(" ")));
                self.prove(Verification {
                    password,
                    code,
                    ..Verification::default()
                })
                .await;
            }
            ["prove", password @ ..] if !password.is_empty() => {
                self.prove(Verification {
                    password: Some(Secret::new(password.join(" "))),
                    ..Verification::default()
                })
                .await;
            }
            ["external", challenge] => {
                self.prove(Verification {
                    external: Some(Secret::new(*challenge)),
                    ..Verification::default()
                })
                .await;
            }
            ["lost"] => self.report_lost().await,
            ["lost", code] => self.confirm_lost(code).await,
            ["factor", code @ ..] if !code.is_empty() => {
                self.show_factor(Factor::typed(&code.join(""))).await;
            }
            _ => return false,
        }
        true
    }

    async fn forgot(&mut self) {
        let email = &self.credentials.email;
        match self.client.request_password_reset(email).await {
            Ok(challenge) => {
                self.challenges.recovery = Some(challenge);
                self.challenges.recovering = None;
                self.say_sent("recover CODE NEW PASSWORD");
            }
            Err(error) => self.screen.say(&format!("Failed: {error}")),
        }
    }

    async fn ask_for_pass(&mut self) {
        match self.client.request_pass(&self.credentials.email).await {
            Ok(challenge) => {
                self.challenges.pass = Some(challenge);
                self.say_sent("pass CODE");
            }
            Err(error) => self.screen.say(&format!("Failed: {error}")),
        }
    }

    /// Reports that the authenticator apps are lost, which a second step waits for.
    async fn report_lost(&mut self) {
        let Some(step) = self.challenges.step.clone() else {
            return self.screen.say("Nothing waits for a factor.");
        };
        let email = &self.credentials.email;
        match self.client.report_lost(email, &step).await {
            Ok(challenge) => {
                self.challenges.lost = Some(challenge);
                self.say_sent("lost CODE");
            }
            Err(error) => self.screen.say(&format!("Failed: {error}")),
        }
    }

    async fn confirm_lost(&mut self, code: &str) {
        let Some(challenge) = self.challenges.lost.clone() else {
            return self.screen.say("Type lost first.");
        };
        let api = self.client.api();
        match api.confirm_lost(&proof(challenge, code)).await {
            Ok(due_at) => {
                self.challenges.lost = None;
                self.screen.say(&format!(
                    "The authenticator apps are removed from {due_at} on. Sign in then. \
                     If you find one before, signing in with it stops that."
                ));
            }
            Err(error) => self.screen.say(&format!("Failed: {error}")),
        }
    }

    fn say_sent(&self, command: &str) {
        let email = &self.credentials.email;
        self.screen.say(&format!(
            "A mail to {email} is on its way, if it has an account. Type: {command}"
        ));
    }

    /// Sets the new password, and signs in with it if the device is not signed in.
    async fn recover(&mut self, code: &str, password: &str) {
        let Some(challenge) = self.challenges.recovery.clone() else {
            return self.screen.say("Type forgot first.");
        };
        let proof = proof(challenge, code);
        self.recover_with(proof, Secret::new(password), None).await;
    }

    async fn recover_with(&mut self, proof: Proof, password: Secret, factor: Option<&Factor>) {
        let api = self.client.api();
        if let Err(error) = api.reset_password(&proof, &password, factor).await {
            self.screen.say(&format!("Failed: {error}"));
            if error.problem.as_deref() == Some("factor-required") {
                self.challenges.recovering = Some((proof, password));
                self.screen.say("Type: factor CODE");
            }
            return;
        }
        self.challenges.recovery = None;
        self.challenges.recovering = None;
        self.credentials.password = password;
        self.screen
            .say("The password is set, and every device was signed out.");
        if self.client.session().is_some() {
            // This device, too. Its session's end says so.
            return self.client.check_session();
        }
        if let Err(error) = self.sign_in().await {
            self.screen.say(&format!("{error:#}."));
        }
    }

    /// Says how to prove who the owner is. The sign-out waits for it.
    pub(crate) fn ask_for_proof(&mut self, act: Act, error: &curfew_client::Error) {
        let ways = error.methods.iter().map(|method| {
            let proofs: Vec<&str> = method.iter().map(String::as_str).collect();
            match proofs.as_slice() {
                ["password"] => "prove PASSWORD",
                ["code"] => "code, then code CODE",
                ["totp"] => "factor CODE OF THE APP",
                ["recovery_code"] => "factor RECOVERY CODE",
                ["external"] => "external CHALLENGE",
                _ => "code, then code CODE PASSWORD",
            }
        });
        let ways: Vec<_> = ways.collect();
        if let (Some(address), Some(session)) = (&error.verify_at, self.client.session()) {
            let id = &session.id;
            self.screen.say(&format!("Open: {address}?session={id}"));
        }
        self.screen.say(&format!(
            "Confirm that it is you, and it goes on. Type: {}",
            ways.join(" · ")
        ));
        self.challenges.waiting = Some(act);
    }

    async fn ask_for_code(&mut self) {
        match self.client.request_verification_code().await {
            Ok(challenge) => {
                self.challenges.verification = Some(challenge);
                self.screen.say("A mail with a code is on its way.");
            }
            Err(error) => self.screen.say(&format!("Failed: {error}")),
        }
    }

    /// Proves who the owner is, and goes on with the sign-out that waits for it.
    async fn prove(&mut self, verification: Verification) {
        if let Err(error) = self.client.verify(&verification).await {
            return self.screen.say(&format!("Failed: {error}"));
        }
        self.challenges.verification = None;
        self.screen.say("Confirmed for five minutes.");
        if let Some(act) = self.challenges.waiting.take() {
            Box::pin(self.sign_out(act)).await;
        }
    }

    /// Shows a factor to what waits for one: a recovery, the sign-in, or a verification.
    async fn show_factor(&mut self, factor: Factor) {
        if let Some((proof, password)) = self.challenges.recovering.clone() {
            return self.recover_with(proof, password, Some(&factor)).await;
        }
        if self.client.session().is_some() {
            let factor = Some(factor);
            let verification = Verification {
                factor,
                ..Verification::default()
            };
            return self.prove(verification).await;
        }
        let Some(challenge) = self.challenges.step.clone() else {
            return self.screen.say("Nothing waits for a factor.");
        };
        let step = SecondStep {
            challenge,
            factor,
            remember: false,
        };
        if let Err(error) = self.complete_sign_in(&step).await {
            self.screen.say(&format!("{error:#}."));
        }
    }

    async fn sign_in_with_pass(&mut self, code: &str) {
        if self.client.session().is_some() {
            return self.screen.say("It is signed in.");
        }
        let Some(challenge) = self.challenges.pass.clone() else {
            return self.screen.say("Type pass first.");
        };
        let proof = proof(challenge, code);
        match self.sign_in_as(Some(&proof)).await {
            Ok(()) => self.challenges.pass = None,
            Err(error) => self.screen.say(&format!("{error:#}.")),
        }
    }
}

fn proof(challenge: Secret, code: &str) -> Proof {
    let code = code.to_owned();
    Proof { challenge, code }
}
