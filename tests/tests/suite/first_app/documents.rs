//! `infra/docs/first-app.md` and the commands of the README, block by block as a reader
//! types them: only addresses and folders differ.

use std::fs;
use std::path::{Path, PathBuf};

use curfew::target;
use curfew_client::Api;
use curfew_tests::browser::{Browser, Pages};
use curfew_tests::client::{Device, Household, LAPTOP, TV, unique};
use curfew_tests::snippets::{Snippets, Terminal};
use curfew_tests::stack::{api_url, stack};
use http::Method;
use serde_json::{Value, json};

/// The app of a reader, in a folder of its own.
struct App {
    folder: PathBuf,
    snippets: Snippets,
}

impl App {
    fn new() -> Self {
        let folder = target().join("tests/apps").join(unique());
        let environment = state().join("service.env");
        let snippets = Snippets::of(
            "infra/docs/first-app.md",
            &[
                ("../first-app", folder.to_str().unwrap()),
                ("target/local/service.env", environment.to_str().unwrap()),
                ("http://127.0.0.1:9400", api_url()),
            ],
        );
        let app = Self {
            folder,
            snippets: snippets.unwrap(),
        };
        fs::create_dir_all(&app.folder).unwrap();
        for (language, name) in [
            ("js", "service.mjs"),
            ("html", "page.html"),
            ("python", "service.py"),
            ("python", "follow.py"),
        ] {
            let mark = if language == "js" { "// " } else { "# " };
            let mark = if language == "html" { "<!-- " } else { mark };
            let code = app.snippets.block(language, &format!("{mark}{name}"));
            fs::write(app.folder.join(name), code.unwrap()).unwrap();
        }
        app
    }

    fn sh(&self, command: &str) -> &str {
        self.snippets.block("sh", command).unwrap()
    }

    /// Starts the service in Node, and returns its address.
    async fn node(&self, before: &str) -> (Terminal, String) {
        let commands = [self.sh("npm install"), before, self.sh("node service.mjs")];
        address(Terminal::start(&commands).await.unwrap()).await
    }

    /// Starts the service in Python, and returns its address.
    async fn python(&self, before: &str) -> (Terminal, String) {
        let environment = format!(
            ". '{}'\ncd '{}'",
            state().join("service.env").display(),
            self.folder.display()
        );
        let commands = [&*environment, before, self.sh("python3 service.py")];
        address(Terminal::start(&commands).await.unwrap()).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // What can't be removed is removed with target/.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the folder of the running stack.
fn state() -> &'static Path {
    stack().logs.parent().unwrap()
}

async fn address(mut terminal: Terminal) -> (Terminal, String) {
    let address = terminal.line("http://localhost:").await.unwrap();
    (terminal, address)
}

/// Asks a service for the film. Returns the status and the body.
async fn film(service: &str, authorization: Option<&str>) -> (u16, Value) {
    let mut call = Api::new(service).unwrap().call(Method::GET, "/film");
    if let Some(authorization) = authorization {
        call = call.header("authorization", authorization);
    }
    let answer = call.send().await.unwrap();
    assert_eq!(answer.headers["cache-control"], "no-store");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

/// Checks a service with a device that is signed in and then signed out.
async fn assert_protected(service: &str) {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let bearer = format!("Bearer {}", tv.token);

    let (status, body) = film(service, Some(&bearer)).await;
    let _ = laptop.sign_out(&tv.id).await.done(200);

    assert_eq!((status, &body["account"]), (200, &json!(tv.account_id)));
    for authorization in [Some(&*bearer), Some("Bearer x"), Some(&*tv.token), None] {
        let refused = film(service, authorization).await;
        assert_eq!(refused, (401, json!({})), "{authorization:?}");
    }
}

/// Where nothing answers.
const NO_CURFEW: &str = "export CURFEW_API=http://127.0.0.1:1";
const WRONG_KEY: &str = "export AWS_SECRET_ACCESS_KEY=wrong";

#[tokio::test]
async fn the_service_in_node_refuses_a_signed_out_device_and_never_guesses() {
    let app = App::new();
    let (_terminal, service) = app.node("").await;
    assert_protected(&service).await;

    for before in [NO_CURFEW, WRONG_KEY] {
        let (_terminal, service) = app.node(before).await;
        let answer = film(&service, Some("Bearer x")).await;
        assert_eq!(answer, (503, json!({})), "{before}");
    }
}

#[tokio::test]
async fn the_service_in_python_refuses_a_signed_out_device_and_never_guesses() {
    let app = App::new();
    let (_terminal, service) = app.python("").await;
    assert_protected(&service).await;

    for before in [NO_CURFEW, WRONG_KEY] {
        let (_terminal, service) = app.python(before).await;
        let answer = film(&service, Some("Bearer x")).await;
        assert_eq!(answer, (503, json!({})), "{before}");
    }
}

#[tokio::test]
async fn the_page_plays_and_is_wiped_when_it_is_signed_out() {
    let app = App::new();
    let (_terminal, service) = app.node("").await;
    let household = Household::register().await;
    let browser = Browser::start(&Pages::serve().await.unwrap())
        .await
        .unwrap();
    let text = |text: &str| format!("document.body.innerText.startsWith('{text}')");

    browser.go(&service).await.unwrap();
    browser.until(&text("Please sign in.")).await.unwrap();
    browser.write("#email", &household.email).await.unwrap();
    browser.write("#password", "wrong").await.unwrap();
    browser.click("button").await.unwrap();
    browser
        .until("!/sign in/.test(document.getElementById('text').textContent)")
        .await
        .unwrap();
    let password = &household.password;
    browser.write("#password", password).await.unwrap();
    browser.click("button").await.unwrap();
    browser.until(&text("▶ Hotel")).await.unwrap();
    let laptop = household.sign_in(LAPTOP).await;
    let _ = laptop.sign_out_scope("others").await.done(200);

    browser.until(&text("Signed out by ")).await.unwrap();
    let last = browser
        .value("localStorage.getItem('first-app.last')")
        .await;
    assert_eq!(last.unwrap(), Value::Null);
}

#[tokio::test]
async fn the_program_at_the_queue_closes_the_stream_of_the_device_that_is_signed_out() {
    let app = App::new();
    for end in ["device", "others", "global"] {
        let household = Household::register().await;
        let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
        let phone = household.sign_in(TV).await;
        let token = format!("export TOKEN={}", tv.token);
        let commands = [app.sh("sam deploy"), &token, app.sh("python3 follow.py")];
        let mut terminal = Terminal::start(&commands).await.unwrap();
        terminal.line("The stream is open.").await.unwrap();

        let _ = phone.post("/v1/sign-out").await.done(200);
        let sign_out = sign_out(&laptop, &tv, end).await;

        let rest = terminal.end().await.unwrap();
        let closed = format!("The stream is closed by the sign-out {sign_out}.\n");
        assert_eq!(rest, closed, "{end}");
    }
}

/// Signs the television out. Returns the id of the sign-out.
async fn sign_out(laptop: &Device, tv: &Device, end: &str) -> String {
    let answer = match end {
        "device" => laptop.sign_out(&tv.id).await,
        scope => laptop.sign_out_scope(scope).await,
    };
    let id = &answer.done(200)["sign_out"]["id"];
    id.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_commands_of_the_readme_end_with_the_receipt() {
    let record = state().join("stack.json");
    let replaced = [
        ("http://127.0.0.1:9400", api_url()),
        ("target/local/stack.json", record.to_str().unwrap()),
    ];
    let readme = Snippets::of("README.md", &replaced).unwrap();

    let commands = readme.block("sh", "curl").unwrap();
    let mut terminal = Terminal::start(&[commands]).await.unwrap();

    let devices = terminal.line("{\"devices\":").await.unwrap();
    assert!(devices.contains("\"name\":\"Laptop\""), "{devices}");
    assert!(devices.contains("\"sign_out\":{\"id\":"), "{devices}");
}
