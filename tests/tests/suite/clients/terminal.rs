//! The device in a terminal, for an owner who can't sign in.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use curfew::target;
use curfew_client::{
    Api, Client, Credentials, DeviceInfo, Secret, Settings, Storage, Timing, Verification,
};
use curfew_tests::authenticator::Authenticator;
use curfew_tests::client::{Household, LAPTOP, SIGN_OUT_ALL, remember, unique};
use curfew_tests::conformance::{Fault, Network, device_command};
use curfew_tests::inbox;
use curfew_tests::snippets::Terminal;
use curfew_tests::stack::api_url;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
async fn an_owner_with_an_authenticator_app_types_its_code() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut app = Authenticator::add(&laptop).await;
    let (email, password) = (&household.email, &household.password);
    let mut tv = Typed::start(email, password).await;
    tv.terminal.line("Type: factor CODE").await.unwrap();

    tv.types("factor 000000", "Sign-in failed").await;
    let command = format!("factor {}", app.code());
    tv.types(&command, "Signed in to").await;
}

#[tokio::test]
async fn an_owner_who_lost_the_authenticator_app_has_it_removed_by_a_code_in_the_mail() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut app = Authenticator::add(&laptop).await;
    let (email, password) = (&household.email, &household.password);
    let mut tv = Typed::start(email, password).await;
    tv.terminal
        .line("or lost if you no longer have")
        .await
        .unwrap();

    tv.types("lost AAAA-AAAA", "Type lost first.").await;
    tv.types("lost", "Type: lost CODE").await;
    let code = inbox::code_with(email, "Your code to remove a lost authenticator app").await;
    tv.types("lost AAAA-AAAA", "Failed: ").await;
    let line = "The authenticator apps are removed from ";
    tv.types(&format!("lost {code}"), line).await;

    let factors = laptop.get("/v1/factors").await.done(200);
    assert!(factors["removal"]["due_at"].is_string(), "{factors}");
    // The app is found again, which stops it.
    tv.types(&format!("factor {}", app.code()), "Signed in to")
        .await;
    let factors = laptop.get("/v1/factors").await.done(200);
    assert!(factors["removal"].is_null(), "{factors}");
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

#[tokio::test]
async fn the_owner_proves_it_with_a_code_and_the_sign_out_goes_on() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let (email, password) = (&household.email, &household.password);
    let mut device = Typed::start(email, password).await;
    device.terminal.line("Signed in to").await.unwrap();

    device
        .types("out others", "Type: code, then code CODE")
        .await;
    device.types("prove wrong", "Failed: ").await;
    device
        .types("code", "A mail with a code is on its way.")
        .await;
    assert!(laptop.is_signed_in().await);
    let subject = "Your code to confirm that it is you";
    let code = inbox::code_with(email, subject).await;
    device
        .types(&format!("code {code}"), "Confirmed for five minutes.")
        .await;

    device.terminal.line("Signed out.").await.unwrap();
    laptop.ended().await;
}

/// Answers one request with this status and a challenge. Returns the request's body.
async fn answer_once(address: String, status: u16) -> Value {
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(Ok(body)) = body.map(serde_json::from_str) {
            let answer = r#"{"challenge":"cfc_a"}"#;
            let head = format!("HTTP/1.1 {status} Any\r\ncontent-type: application/json");
            let length = answer.len();
            let answer =
                format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return body;
        }
    }
}

#[tokio::test]
async fn a_device_asks_for_a_code_with_the_key_of_that_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let settings = Settings {
        api: Api::new(&format!("http://{address}")).unwrap(),
        socket_url: None,
        device: DeviceInfo::default(),
        timing: Timing::default(),
    };
    let (mut client, _events) = Client::new(settings, Storage::in_memory());
    let credentials = Credentials {
        email: "lea@example.com".to_owned(),
        password: Secret::new("quiet otter borrows nine lanterns"),
    };
    let (sent, signed_in) = tokio::join!(
        answer_once(address.clone(), 503),
        client.sign_in(&credentials)
    );
    signed_in.unwrap_err();
    let key = &sent["device_key"];
    assert!(key.is_string());

    for (email, wanted) in [
        (
            "lea@example.com",
            json!({ "email": "lea@example.com", "device_key": key }),
        ),
        ("noa@example.com", json!({ "email": "noa@example.com" })),
    ] {
        let asked = client.request_pass(email);
        let (sent, challenge) = tokio::join!(answer_once(address.clone(), 202), asked);
        assert_eq!(challenge.unwrap().reveal(), "cfc_a");
        assert_eq!(sent, wanted);
        let asked = client.request_password_reset(email);
        let (sent, challenge) = tokio::join!(answer_once(address.clone(), 202), asked);
        assert_eq!(challenge.unwrap().reveal(), "cfc_a");
        assert_eq!(sent, wanted);
    }
}

/// A call of the client with the session's token.
#[derive(Clone, Debug)]
enum ClientCall<'a> {
    /// By method and path.
    Call(Method, &'a str),
    SignOutDevice(&'a str),
    SignOutOthers,
    ChangePassword(&'a str, &'a str),
}

impl ClientCall<'_> {
    /// Returns the start of its path.
    fn path(&self) -> &str {
        match self {
            Self::Call(_, path) => path,
            Self::SignOutDevice(_) => "/v1/devices/",
            Self::SignOutOthers => SIGN_OUT_ALL,
            Self::ChangePassword(..) => "/v1/password",
        }
    }

    /// Makes it, and returns whether it succeeded.
    async fn make(self, client: &Client) -> bool {
        match self {
            Self::Call(method, path) => {
                let answer = client.call(method, path, None).await;
                answer.is_ok_and(|answer| answer.status < 300)
            }
            Self::SignOutDevice(id) => client.sign_out_device(id).await.is_ok(),
            Self::SignOutOthers => client.sign_out("others").await.is_ok(),
            Self::ChangePassword(old, new) => {
                let [old, new] = [old, new].map(Secret::new);
                client.change_password(&old, &new, true).await.is_ok()
            }
        }
    }
}

#[tokio::test]
async fn calls_under_way_during_a_verification_are_repeated_with_the_newer_token() {
    let household = Household::register_as(false).await;
    let other = household.sign_in(LAPTOP).await.id;
    let network = Network::before(api_url()).await.unwrap();
    let settings = Settings {
        api: Api::new(&network.api_url()).unwrap(),
        socket_url: Some(network.socket_url()),
        device: DeviceInfo::default(),
        timing: Timing::default(),
    };
    let (mut client, _events) = Client::new(settings, Storage::in_memory());
    let password = Secret::new(&household.password);
    let credentials = Credentials {
        email: household.email.clone(),
        password: password.clone(),
    };
    let first = client.sign_in(&credentials).await.unwrap();
    let verification = Verification {
        password: Some(password),
        ..Verification::default()
    };
    let new_password = format!("seven violet lanterns {}", unique());
    remember(&[&new_password]);
    for (made, problem) in [
        (
            ClientCall::Call(Method::GET, "/v1/session"),
            "token-superseded",
        ),
        (
            ClientCall::Call(Method::GET, "/v1/devices"),
            "token-superseded",
        ),
        (
            ClientCall::Call(Method::GET, "/v1/devices"),
            "token-invalid",
        ),
        (
            ClientCall::Call(Method::GET, "/v1/messages"),
            "token-superseded",
        ),
        (
            ClientCall::Call(Method::GET, "/v1/factors"),
            "token-superseded",
        ),
        (
            ClientCall::Call(Method::POST, "/v1/recovery-codes"),
            "token-superseded",
        ),
        (ClientCall::SignOutDevice(&other), "token-superseded"),
        (ClientCall::SignOutOthers, "token-superseded"),
        (
            ClientCall::ChangePassword(&household.password, &new_password),
            "token-superseded",
        ),
    ] {
        let before = client.session().unwrap();
        network.hold_faults(true);
        let refused = Fault::Problem(401, problem);
        network.fault(None, made.path(), refused, 1);
        let verify = async {
            let verified = client.verify(&verification).await;
            network.hold_faults(false);
            verified
        };

        let (is_done, verified) = tokio::join!(made.clone().make(&client), verify);

        verified.unwrap();
        assert!(is_done, "{made:?} {problem}");
        let after = client.session().unwrap();
        assert_eq!(after.id, first.id);
        assert_ne!(after.token, before.token);
    }
}
