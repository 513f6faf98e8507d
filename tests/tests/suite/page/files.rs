//! The files of the page: what is served, what is vendored, and what the compiler says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use curfew::{root, target};
use curfew_tests::client::Api;
use curfew_tests::conformance::{node, npm};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The most bytes of the first view, compressed, and the most requests.
const BUDGET: (usize, usize) = (66_000, 38);

fn assets() -> std::path::PathBuf {
    root().join("functions/page/assets")
}

/// Returns the address of each file in the page's HTML.
async fn addresses() -> Vec<String> {
    let html = Api::default().call("GET", "/").send().await;
    let html = html.text();
    let parts = html.split('"').filter(|part| part.starts_with("assets/"));
    parts.map(|part| format!("/{part}")).collect()
}

/// Installs the packages that the page is compared with and checked by.
pub async fn packages() -> std::path::PathBuf {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let folder = target().join("page-packages");
    let install = async || {
        fs::create_dir_all(&folder).unwrap();
        fs::copy(
            root().join("tests/pages/package.json"),
            folder.join("package.json"),
        )
        .unwrap();
        npm(
            &folder,
            &["install", "--ignore-scripts", "--no-audit", "--no-fund"],
        )
        .await
        .unwrap();
    };
    INSTALLED.get_or_init(install).await;
    folder.join("node_modules")
}

fn files_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            let name = path.strip_prefix(assets()).unwrap().to_str().unwrap();
            found.insert(name.to_owned());
        }
    }
}

#[tokio::test]
async fn every_file_is_served_compressed_and_may_be_kept_for_a_year() {
    let mut wanted = BTreeSet::new();
    files_below(&assets(), &mut wanted);
    wanted.retain(|name| !name.ends_with(".d.mts") && name != "index.html");
    let main = addresses().await.pop().unwrap();
    let folder = main.trim_end_matches("main.js");

    for name in wanted {
        let path = format!("{folder}{name}");
        let call = Api::default().call("GET", &path);
        let plain = call.send().await;
        let call = Api::default().call("GET", &path);
        let packed = call
            .header("accept-encoding", "br, gzip;q=0.8")
            .send()
            .await;

        assert_eq!(plain.status, 200, "{name}");
        assert_eq!(
            plain.text(),
            fs::read_to_string(assets().join(&name)).unwrap()
        );
        let age = plain.header("cache-control");
        assert_eq!(age, Some("public, max-age=31536000, immutable"), "{name}");
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{name}");
        assert_eq!(packed.header("vary"), Some("Accept-Encoding, Origin"));
    }
}

#[tokio::test]
async fn an_unknown_file_is_not_found_and_an_old_version_is_not_kept() {
    let get = async |path| Api::default().call("GET", path).send().await;

    let _ = get("/assets/0/../Cargo.toml")
        .await
        .refused(404, "not-found");
    let _ = get("/assets/main.js").await.refused(404, "not-found");
    let _ = get("/assets/0/none.js").await.refused(404, "not-found");
    let old = get("/assets/0123456789abcdef/main.js").await;
    assert_eq!(
        (old.status, old.header("cache-control")),
        (200, Some("no-store"))
    );
    assert_eq!(get("/").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_first_view_is_small() {
    let addresses: BTreeSet<String> = addresses().await.into_iter().collect();
    let mut bytes = 0;
    for path in &addresses {
        let call = Api::default().call("GET", path);
        let answer = call.header("accept-encoding", "gzip").send().await;
        let length = answer.header("content-length").unwrap();
        bytes += length.parse::<usize>().unwrap();
    }

    println!("{bytes} bytes in {} files", addresses.len());
    assert!(bytes < BUDGET.0, "{bytes}");
    assert!(addresses.len() <= BUDGET.1, "{addresses:?}");
}

#[tokio::test]
async fn the_vendored_libraries_are_those_of_the_registry() {
    let packages = packages().await;
    for (own, published) in [
        ("preact.mjs", "preact/dist/preact.mjs"),
        ("preact.LICENSE", "preact/LICENSE"),
        ("htm.mjs", "htm/dist/htm.module.js"),
        ("htm.LICENSE", "htm/LICENSE"),
    ] {
        let own = fs::read(assets().join("vendor").join(own)).unwrap();
        let published_file = fs::read(packages.join(published)).unwrap();
        assert!(own == published_file, "{published}");
    }
}

#[tokio::test]
async fn the_types_of_the_page_are_right() {
    let packages = packages().await;
    let compiler = packages.join("typescript/bin/tsc");
    let project = root().join("functions/page");

    // The machine may have no Node of its own.
    let run = format!(
        "{} '{}' --project '{}'",
        node().await.unwrap(),
        compiler.display(),
        project.display()
    );
    let outcome = Command::new("sh").args(["-c", &run]).output().await;

    let outcome = outcome.unwrap();
    let faults = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{faults}");
}

/// Returns the names of the texts of a language.
fn keys(tag: &str) -> BTreeSet<String> {
    let file = assets().join(format!("languages/{tag}.js"));
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (key, _) = line.strip_prefix("  \"")?.split_once("\":")?;
        Some(key.to_owned())
    });
    lines.collect()
}

#[test]
fn every_text_that_the_page_asks_for_by_name_is_there() {
    let (mut files, known) = (BTreeSet::new(), keys("en"));
    files_below(&assets(), &mut files);
    let mut asked = 0;
    let is_script = |name: &&String| Path::new(name).extension().is_some_and(|it| it == "js");
    for name in files.iter().filter(is_script) {
        let text = fs::read_to_string(assets().join(name)).unwrap();
        for call in text.split("say(\"").skip(1) {
            let (key, _) = call.split_once('"').unwrap();
            assert!(known.contains(key), "{name}: {key}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
}

#[test]
fn each_language_has_every_text_with_the_same_values() {
    let english = keys("en");

    assert!(english.len() > 100);
    for tag in ["es", "de"] {
        assert_eq!(keys(tag), english, "{tag}");
    }
}

/// What the page uses although one of the oldest browsers lacks it. It looks plainer there,
/// or another rule stands in for it. At the end is what was planted, to see that it is found.
const LACKING: [&str; 17] = [
    ":focus-visible (assets/style.css)",
    "<input autocapitalize> (assets/views/form.js)",
    "@media (forced-colors) (assets/style.css)",
    "Array.at (../../tests/pages/too-new.js)",
    "Crypto.randomUUID (../../tests/pages/too-new.js)",
    "String.replaceAll (../../tests/pages/too-new.js)",
    "URL.canParse (../../tests/pages/too-new.js)",
    "accent-color (assets/style.css)",
    "align-self: start (assets/style.css)",
    "cursor: pointer (assets/style.css)",
    "cursor: progress (assets/style.css)",
    "field with parentheses (../../tests/pages/too-new.js)",
    "forced-color-adjust (assets/style.css)",
    "forced-color-adjust: none (assets/style.css)",
    "lookbehind (../../tests/pages/too-new.js)",
    // It does not follow round corners.
    "outline (assets/style.css)",
    "text-underline-offset (assets/style.css)",
];

#[tokio::test]
async fn the_oldest_browsers_have_what_the_page_uses() {
    let packages = packages().await;
    let run = format!(
        "{} tests/pages/supported.mjs '{}' functions/page infra/clients/javascript/curfew.js \
         tests/pages/too-new.js",
        node().await.unwrap(),
        packages.display()
    );
    let mut shell = Command::new("sh");

    let outcome = shell.args(["-c", &run]).current_dir(root()).output().await;

    let outcome = outcome.unwrap();
    let faults = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{faults}");
    let lacking = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(lacking.lines().collect::<Vec<_>>(), LACKING);
}
