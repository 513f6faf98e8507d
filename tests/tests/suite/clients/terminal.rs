//! The device in a terminal, for an owner who can't sign in.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use curfew::target;
use curfew_tests::client::{Household, LAPTOP, unique};
use curfew_tests::conformance::device_command;
use curfew_tests::inbox;
use curfew_tests::snippets::Terminal;
use curfew_tests::stack::api_url;
use serde_json::json;

/// A device, and the file that it reads what its owner types from.
struct Typed {
    keyboard: PathBuf,
    terminal: Terminal,
}

impl Typed {
    async fn start(email: &str, password: &str) -> Self {
        let name = format!("TV {}", unique());
        let keyboard = target().join("tests").join(unique());
        fs::write(&keyboard, "").unwrap();
        let command = format!(
            "tail -n +1 -f '{}' | {} --name '{name}' --api-url {} --email {email} --password '{password}'",
            keyboard.display(),
            device_command().await.unwrap(),
            api_url()
        );
        let terminal = Terminal::start(&[&command]).await.unwrap();
        Self { keyboard, terminal }
    }

    /// Types a command, and waits for a line.
    async fn types(&mut self, command: &str, line: &str) {
        let mut keyboard = OpenOptions::new()
            .append(true)
            .open(&self.keyboard)
            .unwrap();
        writeln!(keyboard, "{command}").unwrap();
        self.terminal.line(line).await.unwrap();
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        // What can't be removed is removed with target/.
        let _ = fs::remove_file(&self.keyboard);
    }
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_and_the_device_signs_in_with_the_new_one() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let email = &household.email;
    let mut device = Typed::start(email, "quite another password").await;
    let failed = device.terminal.line("Sign-in failed").await.unwrap();
    assert!(failed.contains("(401)"), "{failed}");

    device
        .types("recover AAAA-AAAA x", "Type forgot first.")
        .await;
    device
        .types("forgot", "Type: recover CODE NEW PASSWORD")
        .await;
    let code = inbox::code_for(email, 1).await;
    let short = format!("recover {code} short");
    device.types(&short, "Failed: ").await;
    assert!(laptop.is_signed_in().await);
    let recover = format!("recover {code} seven violet lanterns drift");
    device.types(&recover, "every device was signed out").await;

    device.terminal.line("Signed in to").await.unwrap();
    assert_eq!(laptop.ended().await["reason"], "recovered");
    let again = json!({ "password": "seven violet lanterns drift" });
    let _ = household.log_in(again).send().await.done(200);
}

#[tokio::test]
async fn a_pass_signs_the_device_in_past_the_limit_that_others_have_used_up() {
    let household = Household::register().await;
    let (email, password) = (&household.email, &household.password);
    let wrong = json!({ "password": Household::unregistered().password });
    let mut tried = 0;
    while household.log_in(wrong.clone()).send().await.status != 429 {
        tried += 1;
        assert!(tried <= 10, "a stranger has ten tries");
    }
    let mut device = Typed::start(email, password).await;
    let failed = device.terminal.line("Sign-in failed").await.unwrap();
    assert!(failed.contains("(429)"), "{failed}");

    device.types("pass AAAA-AAAA", "Type pass first.").await;
    device.types("pass", "Type: pass CODE").await;
    let code = inbox::code_for(email, 1).await;
    device.types("pass AAAA-AAAA", "Sign-in failed").await;
    device.types(&format!("pass {code}"), "Signed in to").await;
    device.types("pass", "Type: pass CODE").await;
    device.types("pass AAAA-AAAA", "It is signed in.").await;
}
