//! The npm package of the JavaScript module.

use std::fs;

use curfew::root;
use curfew_tests::conformance::npm;
use serde_json::{Value, json};

#[tokio::test]
async fn the_package_can_be_published_with_every_file_that_it_names() {
    let folder = root().join("infra/clients/javascript");
    let package = fs::read(folder.join("package.json")).unwrap();
    let package: Value = serde_json::from_slice(&package).unwrap();

    let packed = npm(&folder, &["pack", "--dry-run", "--json"])
        .await
        .unwrap();

    let packed: Value = serde_json::from_str(&packed).unwrap();
    let files = packed[0]["files"].as_array().unwrap();
    let mut files: Vec<&Value> = files.iter().map(|file| &file["path"]).collect();
    files.sort_by_key(ToString::to_string);
    let wanted = ["README.md", "curfew.d.ts", "curfew.js", "package.json"];
    assert_eq!(json!(files), json!(wanted));
    assert!(package["private"].is_null());
    for entry in ["/types", "/exports/./types", "/exports/./default"] {
        let path = package.pointer(entry).and_then(Value::as_str).unwrap();
        assert!(folder.join(path).is_file(), "{entry}");
    }
}
