//! The commands that the owner types.

use anyhow::Result;
use curfew_client::Answer;
use http::Method;
use http_api::{DeviceView, ReceiptView, Status};
use serde::de::DeserializeOwned;

use crate::device::Device;
use crate::screen::Ink;

/// The list of commands.
pub(crate) const COMMANDS: &str = "devices · out N · out others · out all · out · receipt · \
                                   stop · prove PASSWORD · code · code CODE [PASSWORD] · factor CODE · offline · online · quit";

/// A sign-out.
#[derive(Clone)]
pub(crate) enum Act {
    /// `local`, `others` or `global`.
    Scope(&'static str),
    /// The id of one device.
    Device(String),
}

/// The receipt of the last sign-out from here.
#[derive(Default)]
pub(crate) struct Receipt {
    sign_out: Option<String>,
    /// It is read until every device has wiped, or until the command `stop`.
    pub(crate) is_watched: bool,
    /// The text that was shown last.
    shown: String,
}

impl Device {
    /// Runs a command. Returns true when the device must end.
    pub(crate) async fn run_command(&mut self, line: &str) -> Result<bool> {
        self.screen.typed();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["offline"] => self.set_offline(true),
            ["online"] => self.set_offline(false),
            ["devices"] => self.list().await,
            ["receipt"] => {
                self.receipt.shown.clear();
                self.read_receipt().await;
            }
            ["stop"] => {
                self.receipt.is_watched = false;
                self.screen.say("The receipt is not watched any more.");
            }
            ["out"] => self.sign_out(Act::Scope("local")).await,
            ["out", "others"] => self.sign_out(Act::Scope("others")).await,
            ["out", "all"] => self.sign_out(Act::Scope("global")).await,
            ["out", number] => self.sign_out_listed(number).await,
            ["quit"] => {
                self.quit();
                return Ok(true);
            }
            words if self.run_code_command(words).await => {}
            _ => self
                .screen
                .say(&format!("Unknown command. Commands: {COMMANDS}")),
        }
        Ok(false)
    }

    pub(crate) fn quit(&mut self) {
        self.stop();
        self.screen
            .say("Switched off. The session stays valid until it is signed out.");
    }

    async fn list(&mut self) {
        let path = "/v1/devices?limit=100";
        let Some(answer) = self.call(Method::GET, path).await else {
            return;
        };
        let Some(devices) = member::<Vec<DeviceView>>(&answer, "/devices") else {
            return self.screen.say(&answer.message());
        };
        for (at, device) in devices.iter().enumerate() {
            let kind = device.device_type.as_str();
            let since = device.signed_in_at.0.strftime("%H:%M:%S");
            let this = if device.current {
                "  ← this device"
            } else {
                ""
            };
            let line = format!(
                "  {:>2}  {:<24} {kind:<9} since {since}{this}",
                at + 1,
                device.name
            );
            let is_out = device.status == Status::SignedOut;
            let ink = if is_out { Ink::Faint } else { Ink::Bold };
            self.screen.line(&self.screen.inked(ink, &line));
        }
        self.listed = devices;
    }

    async fn sign_out_listed(&mut self, number: &str) {
        if self.listed.is_empty() {
            self.list().await;
        }
        let at = number.parse().ok().and_then(|n: usize| n.checked_sub(1));
        match at.and_then(|at| self.listed.get(at)) {
            Some(device) => self.sign_out(Act::Device(device.id.clone())).await,
            None => self.screen.say(&format!(
                "There is no device {number}. Type devices for the list."
            )),
        }
    }

    /// Signs out. If that needs a verification, says how, and goes on after it.
    pub(crate) async fn sign_out(&mut self, act: Act) {
        let signed_out = match &act {
            Act::Scope(scope) => self.client.sign_out(scope).await,
            Act::Device(device) => self.client.sign_out_device(device).await,
        };
        let id = match signed_out {
            Ok(id) => id,
            Err(error) if !error.methods.is_empty() => return self.ask_for_proof(act, &error),
            Err(error) => return self.screen.say(&format!("Failed: {error}.")),
        };
        self.screen
            .say("Signed out. Every later request of those sessions is refused.");
        self.receipt = Receipt {
            sign_out: Some(id),
            is_watched: true,
            shown: String::new(),
        };
    }

    /// Reads the receipt, and shows it if it has changed.
    pub(crate) async fn read_receipt(&mut self) {
        let Some(sign_out) = self.receipt.sign_out.clone() else {
            return self.screen.say("No sign-out was made from here.");
        };
        if self.client.session().is_none() {
            self.receipt.is_watched = false;
            return;
        }
        let path = format!("/v1/sign-outs/{sign_out}");
        let Some(answer) = self.call(Method::GET, &path).await else {
            return;
        };
        if let Some(receipt) = member::<ReceiptView>(&answer, "/sign_out") {
            self.show_receipt(&receipt);
        } else {
            self.receipt.is_watched = false;
            self.screen.say(&answer.message());
        }
    }

    fn show_receipt(&mut self, receipt: &ReceiptView) {
        let total = receipt.total;
        let text = format!(
            "all {} refused; {} wiped, {} notified, {} seen, {} not reached yet",
            total.devices, total.wiped, total.notified, total.seen, total.not_reached
        );
        if total.wiped == total.devices {
            self.receipt.is_watched = false;
        }
        if text == self.receipt.shown {
            return;
        }
        self.screen.say(&format!("Receipt: {text}."));
        for part in &receipt.devices {
            let line = format!("      {:<24} {}", part.name, part.state);
            self.screen.line(&self.screen.inked(Ink::Faint, &line));
        }
        self.receipt.shown = text;
    }

    async fn call(&mut self, method: Method, path: &str) -> Option<Answer> {
        match self.client.call(method, path, None).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.screen.say(&format!("Failed: {error}."));
                None
            }
        }
    }
}

fn member<T: DeserializeOwned>(answer: &Answer, pointer: &str) -> Option<T> {
    T::deserialize(answer.json.pointer(pointer)?).ok()
}
